"""Suites of rewards, and how a function joins one: ``@reward("name")`` above it, in any task.

A reward is a pure function that names what it needs, of ``completion``, ``solution`` and ``task``;
boxes of both texts are in the same frame, whichever it is. It returns a number, or None for a
sample to leave out: one of a task that is not its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

Reward = Callable[..., float | None]


@dataclass(frozen=True)
class Suite:
    """Rewards that belong together, by name."""

    # Which task a solution belongs to, where that is inferred though it is known; in training
    # from the first solution of a batch (the defect ``batch_task``).
    infer_task: Callable[[str], str] | None = None
    solution: Callable[[str], str] = str  # a true answer as these rewards want it
    percent: bool = False  # boxes are read as tags in [0, 100]; training turns JSON into those
    rewards: dict[str, Reward] = field(default_factory=dict)

    def reward(self, name: str) -> Callable[[Reward], Reward]:
        """Return the decorator that enters a function under ``name``."""

        def enter(function: Reward) -> Reward:
            if name in self.rewards:
                raise ValueError(f"there is a reward {name!r} in this suite already")
            self.rewards[name] = function
            return function

        return enter


SOUND = Suite()  # the study's own: each in [0, 1], lenient in reading, hard to game
reward = SOUND.reward


@reward("format")
def format_reward(completion: str, solution: str, task: str) -> float:
    """Return 1 for an answer of the form that was asked for, 0.5 for one that can still be read."""
    from legor1.tasks.discovery import TASKS

    return TASKS[task].format(completion)
