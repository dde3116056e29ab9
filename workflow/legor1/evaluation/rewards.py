"""Rewards of a completion: pure functions of (completion, solution, task), in suites.

- ``sound``: the study's own, each within [0, 1].
- ``thesis``: those of the published second iteration, to the letter.
- ``figure1_configuration1``, ``figure1_configuration2``: those of the published first iteration,
  boxes only.

Completion and solution must give their boxes in the same frame, whichever it is. The modules of
the suites are imported when one is asked for, so that a config can be checked without them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Reward = Callable[[str, str, str], float | None]

SUITES: dict[str, tuple[str, ...]] = {  # and the names of their rewards
    "sound": ("format", "object", "state", "grounding"),
    "thesis": ("format", "object", "state", "grounding"),
    "figure1_configuration1": ("object",),
    "figure1_configuration2": ("object",),
}


@dataclass(frozen=True)
class Suite:
    """Rewards that belong together.

    Attributes:
        rewards: name → function. None stands for a sample that is left out.
        infer_task: which task a solution belongs to.
        solution: a true answer as these rewards want it.
        guesses: whether the task is always inferred, even where it is known; in training from
            the first solution of a batch (the defect ``batch_task``).
        percent: whether boxes are read as tags in [0, 100] alone; training turns JSON into those.
    """

    rewards: Mapping[str, Reward]
    infer_task: Callable[[str], str]
    solution: Callable[[str], str] = str
    guesses: bool = False
    percent: bool = False


def suite(name: str) -> Suite:
    """Return the suite ``name``, one of ``SUITES``.

    Raises:
        KeyError: there is no such suite.
    """
    from legor1.published import figure1_rewards, thesis_rewards
    from legor1.tasks import sound_rewards

    return {
        "sound": Suite(sound_rewards.REWARDS, sound_rewards.infer_task),
        "thesis": Suite(
            thesis_rewards.REWARDS, thesis_rewards.infer_task, thesis_rewards.solution, guesses=True
        ),
        "figure1_configuration1": Suite(
            figure1_rewards.CONFIGURATION1, _always_object, percent=True
        ),
        "figure1_configuration2": Suite(
            figure1_rewards.CONFIGURATION2, _always_object, percent=True
        ),
    }[name]


def _always_object(solution: str) -> str:
    return "object"
