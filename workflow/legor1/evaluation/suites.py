"""The rewards that a training may choose from: those of a suite, and the user's own.

A reward of the user's own is ``path/to/file.py:function`` in the config. It says by the names of
its parameters what it is given (``GIVEN``). Its file is read when a config is checked, and run only
where the config or the command line names it.
"""

import ast
import functools
import inspect
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from legor1.core.errors import UserError
from legor1.published import thesis_rewards
from legor1.tasks import discovery as _tasks  # noqa: F401 (whose modules enter their rewards)
from legor1.tasks.rewards import SOUND, Reward, Suite

SUITES = {
    "sound": SOUND,  # the study's own
    "thesis": thesis_rewards.SUITE,  # of the published second iteration, to the letter
    "figure1_configuration1": thesis_rewards.CONFIGURATION1,  # of the first, boxes only
    "figure1_configuration2": thesis_rewards.CONFIGURATION2,
    # The sound one with one of the published defects, or both: for an ablation.
    **thesis_rewards.with_defects(SOUND),
}
FIELDS = (
    "instance_id", "manual", "prompt", "response", "width", "height", "box_frame", "variant",
)  # fmt: skip
GIVEN = ("completion", "solution", "task", "image", "tokens", *FIELDS)  # see docs/reward.md


def is_own(name: str) -> bool:
    """Tell whether ``name`` is that of a user's function, rather than of a suite's reward."""
    return ":" in name


def label(name: str) -> str:
    """Return what logs and results call a reward: a user's own is known by its function's name."""
    return name.rpartition(":")[2]


def reward(suite: Suite, name: str) -> Reward:
    """Return a reward of a suite (KeyError if it has none), or the user's own, as ``load``."""
    return load(name) if is_own(name) else suite.rewards[name]


def fields(row: Mapping[str, object]) -> dict[str, object]:
    """Return what may be given of a conversation."""
    return {name: row[name] for name in FIELDS if name in row}


@functools.cache
def wanted(function: Reward) -> frozenset[str]:
    """Return the names of what a reward wants to be given."""
    return frozenset(inspect.signature(function).parameters)


def call(function: Reward, sample: Mapping[str, object]) -> float | None:
    """Return the reward of a sample, which has more than the function wants."""
    return function(**{name: sample[name] for name in wanted(function)})


def source(name: str) -> Path:
    """Return the file that defines the user's reward ``name``: its content counts as code.

    A UserError if there is none, it lacks the function, or that wants what is not given.
    """
    place, _, function = name.rpartition(":")
    path = Path(place)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(
            f"the reward {name}: {path} cannot be read ({error}). Remedy: write "
            "path/to/file.py:function from where the command is run."
        ) from error
    defined = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if function not in defined:
        raise UserError(
            f"the reward {name}: {path} defines no function {function!r}. "
            f"Remedy: name one of {', '.join(defined) or 'its own, of which it has none'}."
        )
    arguments = defined[function].args
    unknown = [a.arg for a in (*arguments.args, *arguments.kwonlyargs) if a.arg not in GIVEN]
    if unknown or arguments.vararg or arguments.kwarg or arguments.posonlyargs:
        what = f"the parameter {unknown[0]!r}" if unknown else "positional or variable parameters"
        raise UserError(
            f"the reward {name}: {what} of {path}, line {defined[function].lineno}, can be given "
            f"nothing. Remedy: name parameters among {', '.join(GIVEN)}."
        )
    return path


def sources(names: Iterable[str]) -> list[Path]:
    """Return the files of the user's own rewards among ``names``."""
    return [source(name) for name in names if is_own(name)]


def run_by(options: Mapping[str, object]) -> list[Path]:
    """Return the files of the user's own rewards that a command runs with these options."""
    recipe, own = options.get("recipe"), options.get("own") or ()
    if isinstance(recipe, dict):
        own = recipe.get("training", {}).get("rewards", ())
    return sources(own) if isinstance(own, Iterable) else []


def load(name: str) -> Reward:
    """Run the file of the user's reward ``name``, and return its function.

    What goes wrong there, then or when the function is called, is a UserError that names both.
    """
    path = source(name)
    module = ModuleType(f"reward_{path.stem}")
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), path, "exec"), vars(module))
        written: Reward = vars(module)[label(name)]
    except Exception as error:
        raise UserError(
            f"the reward {name}: {path} cannot be run ({error!r}). Remedy: correct it."
        ) from error

    @functools.wraps(written)
    def checked(**sample: object) -> float | None:
        try:
            value = written(**sample)
            if value is None or math.isfinite(value):
                return None if value is None else float(value)
        except Exception as error:
            raise UserError(
                f"the reward {name} failed: {error!r}. Remedy: correct {path}."
            ) from error
        raise UserError(
            f"the reward {name} returned {value!r}. Remedy: have {path} return a finite number, or "
            "None to leave the sample out."
        )

    return checked
