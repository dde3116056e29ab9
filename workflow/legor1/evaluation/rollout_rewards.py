"""A file of rollouts → the same file with their rewards: line by line, in any length."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from legor1.core.errors import UserError
from legor1.core.files import atomic, stream_jsonl
from legor1.core.images import open_image
from legor1.evaluation import suites
from legor1.evaluation.suites import SUITES
from legor1.tasks.discovery import TASKS
from legor1.tasks.rewards import Reward, Suite
from legor1.tasks.task import Row

Rewards = dict[str, float | None]


def write_rewards(
    path: Path | str, out: Path | str, name: str, own: tuple[str, ...] = ()
) -> dict[str, float]:
    """Add the rewards of the suite ``name`` to each line of ``path``; return their means.

    A line has ``completion`` and ``solution``, and may have ``task``, which is else inferred from
    the solution; in ``thesis`` always. All its fields are kept, and the rewards are added under
    their names: null where a sample is left out (``sound``, a task that is not the reward's own).

    ``own`` are the user's own rewards besides, as ``suites`` names them; a line has what they ask
    for under the same name, ``image`` as a path. A UserError names a bad line; nothing is written.

    Returns:
        ``completions``, how many there are, then the mean of each reward that some line has.
    """
    functions = SUITES[name].rewards | {suites.label(path): suites.load(path) for path in own}
    sums, counts, lines = dict.fromkeys(functions, 0.0), dict.fromkeys(functions, 0), 0
    with atomic(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for line, rewards in _rewarded(path, SUITES[name], functions):
            file.write(line)
            lines += 1
            for reward, value in rewards.items():
                if value is not None:
                    sums[reward] += value
                    counts[reward] += 1
    means = {reward: sums[reward] / count for reward, count in counts.items() if count}
    return {"completions": lines} | means


def score(row: Row, suite: Suite, functions: Mapping[str, Reward] | None = None) -> Rewards:
    """Return the rewards of one rollout, by name: those of ``functions``, else the suite's.

    A ValueError says which field is not as it should be.
    """
    completion, solution, task = (row.get(key) for key in ("completion", "solution", "task"))
    if not isinstance(completion, str) or not isinstance(solution, str):
        raise ValueError("completion or solution is not text")
    if task not in (None, *TASKS):
        raise ValueError(f"the task {task!r} is none of {', '.join(TASKS)}")
    if task is None or suite.guesses:
        task = suite.infer_task(solution)
    functions = functions or suite.rewards
    sample = row | {"task": task}
    wanted = {name for function in functions.values() for name in suites.wanted(function)}
    if missing := sorted(wanted - sample.keys()):
        raise ValueError(f"it lacks {', '.join(missing)}, which a reward asks for")
    if "image" in wanted:
        sample["image"] = open_image(Path(row["image"]))
    return {name: suites.call(reward, sample) for name, reward in functions.items()}


def _rewarded(
    path: Path | str, suite: Suite, functions: Mapping[str, Reward]
) -> Iterator[tuple[str, Rewards]]:
    """Yield each line as it is to be written, and its rewards."""
    for number, row in stream_jsonl(path, ("completion", "solution")):
        try:
            rewards = score(row, suite, functions)
            yield _dump(row | rewards), rewards
        except (ValueError, OSError) as error:
            raise UserError(
                f"{path}, line {number}: {error}. Remedy: mend or remove the line."
            ) from error


def _dump(row: Row) -> str:
    """Return a line of JSON; escaped where UTF-8 cannot hold it (half of a surrogate pair)."""
    line = json.dumps(row, ensure_ascii=False, allow_nan=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(row, allow_nan=False)
    return line + "\n"
