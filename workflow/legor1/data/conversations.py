"""Instances and their split → conversations: the full query, the answer, the demonstrations.

``legor1 convert`` writes every conversation in both variants. Each defect of data preparation is a
switch here, but for ``row_split``, which is the split's:

- ``task_by_substring`` changes how a row is asked and what is shown before it. Its ``task`` stays
  the dataset's, since the answer is scored for what it is.
- ``state_source_shortcut``, off, shows pairs of one step and image size in either order, and writes
  the rows in an order that tells nothing. A true state that lies in both folders is asked once,
  from the falsified one's: twice would make Yes the likelier answer. A size or an artefact that
  the dataset itself gives to one side alone stays: the audit measures it.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

from legor1.core import files
from legor1.core.seeding import pick
from legor1.data.demonstrations import Demonstrations, asked
from legor1.data.instances import COPY, SIDES, Record, check_known
from legor1.tasks import prompts


class Conversations:
    """The conversations of a dataset under one protocol.

    ``records`` are the rows of instances.parquet and ``split`` the content of split.json, ``seed``
    decides the demonstrations and the order, and ``defects`` are those that are on. A UserError
    says that the split is of other instances.
    """

    def __init__(
        self,
        records: Iterable[Record],
        split: Record,
        *,
        seed: int,
        defects: Collection[str] = (),
        object_format: str = "json",
    ) -> None:
        self._rows = {row["instance_id"]: asked(row, defects) for row in records}
        self._split, self._seed, self._defects = split, seed, frozenset(defects)
        self._format = object_format
        own = "" if "state_label_in_prompt" in defects else "step_"
        self._previous = f"{own}previous_instruction"
        self._as_filed = "frame_mismatch" in defects and object_format == "json"
        divided = [name for side in SIDES for name in split[side]]
        check_known(divided, self._rows, "the split", "split")
        # True states of lego/ that step_dataset has a copy of: asked once, unless the thesis did.
        once = set() if "state_source_shortcut" in defects else set(divided)
        self.doubles = frozenset(name for name in once if f"{name}{COPY}" in once)
        sides = SIDES if "test_demos_in_training" in defects else SIDES[:1]
        names = sorted(name for side in sides for name in self._asked(side))
        self._shown = Demonstrations((self._rows[name] for name in names), seed, defects)

    def order(self, side: str) -> list[str]:
        """Return the ids of ``train`` or ``test`` in the order in which they are written."""
        names = self._asked(side)
        if "state_source_shortcut" in self._defects:
            return names
        return sorted(names, key=lambda name: pick(1 << 64, self._seed, "order", name))

    def _asked(self, side: str) -> list[str]:
        return [name for name in self._split[side] if name not in self.doubles]

    def conversation(self, name: str) -> dict[str, Record]:
        """Return the conversation about an instance by variant."""
        row = self._rows[name]
        shown = self._shown.choose(row, "plain")
        turns = [*map(self._turn, shown)]
        plain = {
            "schema_version": 1,
            "instance_id": row["instance_id"],
            "task": row["task"],
            "manual": row["manual"],
            "variant": "plain",
            "box_frame": self._frame(row),
            **self._turn(row),
            "demonstrations": turns,
        }
        if "self_demo" in self._defects:
            turns = [*map(self._turn, self._shown.choose(row, "reasoning"))]
        if "missing_directive" in self._defects:
            turns = [_tagged(turn) for turn in turns]
        asked = {"variant": "reasoning", "prompt": self._prompt(row, "reasoning")}
        return {"plain": plain, "reasoning": _tagged(plain) | asked | {"demonstrations": turns}}

    def _frame(self, row: Record) -> str:
        """Return the frame in which the row's boxes are shown, and an answer to it is read."""
        if self._format == "tags":
            return "percent"
        if "frame_mismatch" not in self._defects:
            return "processed"
        return "percent_json" if row["file_frame"] == "percent" else "original"

    def _turn(self, row: Record) -> Record:
        """Return a question and its answer; as a solved example it has no thinking to show."""
        turn = {
            "instance_id": row["instance_id"],
            "image": row["image"],
            "width": row["image_width"],
            "height": row["image_height"],
            "prompt": self._prompt(row, "plain"),
            "response": row["response"],
        }
        if self._as_filed and row["file_response"]:
            turn["file_response"] = row["file_response"]
        return turn

    def _prompt(self, row: Record, variant: str) -> str:
        return prompts.query(
            row["asked_as"],
            row["prompt"],
            row[self._previous],
            variant,
            defects=self._defects,
            object_format=self._format,
        )


def _tagged(turn: Record) -> Record:
    texts = {key: turn[key] for key in ("response", "file_response") if key in turn}
    return turn | {key: f"<answer>{text}</answer>" for key, text in texts.items()}


def write_conversations(conversations: Conversations, out: Path) -> dict[str, int]:
    """Write ``out``/{plain,reasoning}/{train,test}.jsonl; return the rows a side, and doubles."""
    from orjson import OPT_APPEND_NEWLINE, dumps

    counts = {}
    for side in SIDES:
        rows = [*map(conversations.conversation, conversations.order(side))]
        counts[side] = len(rows)
        for variant in prompts.VARIANTS:
            with files.atomic(Path(out) / variant / f"{side}.jsonl") as path:
                lines = (dumps(row[variant], option=OPT_APPEND_NEWLINE) for row in rows)
                path.write_bytes(b"".join(lines))
    return counts | {"doubles": len(conversations.doubles)}
