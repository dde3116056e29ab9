"""The suites of rewards that a training may choose from.

- ``sound``: the study's own.
- ``thesis``: those of the published second iteration, to the letter.
- ``figure1_configuration1``, ``figure1_configuration2``: those of the published first iteration,
  boxes only.
"""

from legor1.published import figure1_rewards, thesis_rewards
from legor1.tasks import discovery as _tasks  # noqa: F401 (whose modules enter their rewards)
from legor1.tasks.rewards import SOUND

SUITES = {
    "sound": SOUND,
    "thesis": thesis_rewards.SUITE,
    "figure1_configuration1": figure1_rewards.CONFIGURATION1,
    "figure1_configuration2": figure1_rewards.CONFIGURATION2,
}
