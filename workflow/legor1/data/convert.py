"""Instances and their split → conversations: the full query, the answer, the demonstrations.

Demonstrations come from the train split only, never from the query's own step, and their choice
looks at no answer. Which other manual lends them is settled by rendezvous hashing, so that a new
manual changes only the conversations that then draw on it.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legor1 import files, prompts
from legor1.data.split import check_protocol
from legor1.data.steps import true_name
from legor1.errors import UserError
from legor1.seeding import generator

if TYPE_CHECKING:
    import pandas as pd

Record = dict[str, Any]
Step = list[Record]  # the rows of one step; of the state task at least one true and one falsified
SIDES = ("train", "test")


class Demonstrations:
    """Chooses what is shown before a query, out of the train rows."""

    def __init__(self, train: Iterable[Record], seed: int) -> None:
        self._seed = seed
        self._pools: dict[str, dict[str, dict[str, Step]]] = {task: {} for task in prompts.TASKS}
        self._lenders: dict[tuple[str, str], str | None] = {}
        for (task, manual, name), rows in _by_step(train).items():
            if task != "state" or len({row["falsified"] for row in rows}) == 2:
                self._pools[task].setdefault(manual, {})[name] = rows

    def choose(self, query: Record) -> list[Record]:
        """Return the rows to show: two of one step for state, else one; none if there are none."""
        steps = self._steps(query)
        if not steps:
            return []
        random = generator(self._seed, "demonstration", query["instance_id"])
        if query["task"] != "state":
            rows = [row for step in steps for row in step]
            return [rows[random.integers(len(rows))]]
        step = steps[random.integers(len(steps))]
        sides = [[row for row in step if row["falsified"] is flag] for flag in (False, True)]
        pair = [side[random.integers(len(side))] for side in sides]
        return [pair[i] for i in random.permutation(2)]

    def _steps(self, query: Record) -> list[Step]:
        """Return the other steps of the query's manual, else all of the manual that lends to it."""
        manuals = self._pools[query["task"]]
        own = step_name(query)
        steps = manuals.get(query["manual"], {})
        found = [rows for name, rows in steps.items() if name != own]
        if found:
            return found
        lender = self._lender(query["task"], query["manual"])
        return list(manuals[lender].values()) if lender else []

    def _lender(self, task: str, manual: str) -> str | None:
        if (task, manual) not in self._lenders:

            def rank(other: str) -> bytes:
                key = f"{self._seed}\x1f{task}\x1f{manual}\x1f{other}"
                return hashlib.sha256(key.encode()).digest()

            others = self._pools[task].keys() - {manual}
            self._lenders[task, manual] = min(others, key=rank, default=None)
        return self._lenders[task, manual]


def step_name(row: Record) -> str:
    """Return what two rows of a task and manual share if and only if they show the same step."""
    if row["task"] == "state" or row["step_num"] is None:
        return true_name(row["image"].rpartition("/images/")[2])
    return f"{row['step_class']} {row['step_num']}"


def convert(
    instances: "pd.DataFrame",
    split: dict[str, Any],
    *,
    protocol: str = "sound",
    variant: str = "plain",
    seed: int,
) -> dict[str, list[Record]]:
    """Return the rows of train.jsonl and test.jsonl, in the order of the split.

    Args:
        instances: the table of ``index``.
        split: the content of split.json.
        protocol: ``sound``, whose rules are those above.
        variant: one of ``prompts.VARIANTS``.
        seed: decides the demonstrations.

    Raises:
        UserError: an unknown protocol or variant, or a split of other instances.
    """
    check_protocol(protocol)
    if variant not in prompts.VARIANTS:
        raise UserError(
            f"Unknown variant {variant!r}. Remedy: use one of: {', '.join(prompts.VARIANTS)}."
        )
    rows = _records(instances)
    unknown = [name for side in SIDES for name in split[side] if name not in rows]
    if unknown:
        raise UserError(
            f"The split names {unknown[0]}, which is not among the instances. "
            "Remedy: split the instances again with 'legor1 split'."
        )
    shown = Demonstrations((rows[name] for name in split["train"]), seed)
    return {
        side: [_conversation(rows[name], shown, variant) for name in split[side]] for side in SIDES
    }


def write_conversations(conversations: dict[str, list[Record]], out: Path) -> dict[str, int]:
    """Write ``out``/train.jsonl and test.jsonl; return how many rows each has."""
    return {
        side: files.write_jsonl(Path(out) / f"{side}.jsonl", conversations[side]) for side in SIDES
    }


def _conversation(row: Record, shown: Demonstrations, variant: str) -> Record:
    turn = _turn(row, variant)
    head = {"schema_version": 1, "instance_id": row["instance_id"], "task": row["task"]}
    demonstrations = [_turn(other, variant) for other in shown.choose(row)]
    return head | {"manual": row["manual"]} | turn | {"demonstrations": demonstrations}


def _turn(row: Record, variant: str) -> Record:
    before = row["step_previous_instruction"]
    answer = row["response"]
    return {
        "instance_id": row["instance_id"],
        "image": row["image"],
        "width": row["image_width"],
        "height": row["image_height"],
        "prompt": prompts.query(row["task"], row["prompt"], before, variant),
        "response": f"<answer>{answer}</answer>" if variant == "reasoning" else answer,
    }


def _by_step(rows: Iterable[Record]) -> dict[tuple[str, str, str], Step]:
    grouped: dict[tuple[str, str, str], Step] = {}
    for row in rows:
        grouped.setdefault((row["task"], row["manual"], step_name(row)), []).append(row)
    return grouped


def _records(instances: "pd.DataFrame") -> dict[str, Record]:
    """Return instance_id → row in plain Python values, None for a missing step number."""
    table = instances.astype({"step_num": object})
    table["step_num"] = table["step_num"].where(table["step_num"].notna(), None)
    return {row["instance_id"]: row for row in table.to_dict("records")}
