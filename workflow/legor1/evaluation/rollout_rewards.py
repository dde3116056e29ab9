"""A file of rollouts → the same file with the rewards of a suite: line by line, in any length."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from legor1.core.errors import UserError
from legor1.core.files import atomic, stream_jsonl
from legor1.evaluation.rewards import SUITES, Suite, suite
from legor1.tasks.prompts import TASKS


def write_rewards(path: Path | str, out: Path | str, name: str) -> dict[str, float]:
    """Add the rewards of the suite ``name`` to each line of ``path``; return their means.

    A line has ``completion`` and ``solution``, and may have ``task``. All its fields are kept, and
    the rewards are added under their names: null where a sample is left out (``sound``, a task
    that is not the reward's own). Where there is no task it is inferred from the solution; in
    ``thesis`` always.

    Returns:
        ``completions``, how many there are, then the mean of each reward that some line has.

    Raises:
        UserError: a line is not as it should be; nothing is written then.
    """
    sums, counts, lines = dict.fromkeys(SUITES[name], 0.0), dict.fromkeys(SUITES[name], 0), 0
    with atomic(out) as temporary, temporary.open("w", encoding="utf-8") as file:
        for line, rewards in _rewarded(path, suite(name)):
            file.write(line)
            lines += 1
            for reward, value in rewards.items():
                if value is not None:
                    sums[reward] += value
                    counts[reward] += 1
    means = {reward: sums[reward] / count for reward, count in counts.items() if count}
    return {"completions": lines} | means


def score(row: dict[str, Any], rewards: Suite) -> dict[str, float | None]:
    """Return the rewards of one rollout, by name.

    Raises:
        ValueError: a field is not as it should be.
    """
    completion, solution, task = (row.get(key) for key in ("completion", "solution", "task"))
    if not isinstance(completion, str) or not isinstance(solution, str):
        raise ValueError("completion or solution is not text")
    if task not in (None, *TASKS):
        raise ValueError(f"the task {task!r} is none of {', '.join(TASKS)}")
    if task is None or rewards.guesses:
        task = rewards.infer_task(solution)
    return {name: reward(completion, solution, task) for name, reward in rewards.rewards.items()}


def _rewarded(path: Path | str, rewards: Suite) -> Iterator[tuple[str, dict[str, float | None]]]:
    """Yield each line as it is to be written, and its rewards."""
    for number, row in stream_jsonl(path, ("completion", "solution")):
        try:
            found = score(row, rewards)
            yield _dump(row | found), found
        except ValueError as error:
            raise UserError(
                f"{path}, line {number}: {error}. Remedy: mend or remove the line."
            ) from error


def _dump(row: dict[str, Any]) -> str:
    """Return a line of JSON; escaped where UTF-8 cannot hold it (half of a surrogate pair)."""
    line = json.dumps(row, ensure_ascii=False, allow_nan=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = json.dumps(row, allow_nan=False)
    return line + "\n"
