"""The dataset's tree → instances.parquet, and quarantine.jsonl for every row that is not in it.

A tree is anything in LEGO-ARTA's layout. No row stops the reading and none is lost: each is kept,
or set aside with its file, its position there and the reason.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from legor1 import files
from legor1.data import dialogues, objects, steps
from legor1.data.dialogues import Dialogue
from legor1.data.instances import Record, write_instances
from legor1.data.tree import MISSING, Rejected, image_size, locate
from legor1.errors import UserError

PREFIXES = {"grounding": "lego", "object": "object_dataset/lego", "state": "step_dataset/lego"}
CLASSES = {
    "grounding": {"step"},
    "object": {"eop"},
    "state": {"step", "eop", "fullscreeneop"},
}
_GLUED_FAKE = re.compile(r"(?<!_)(?=fake\d+\.[^./]+$)")


@dataclass(frozen=True)
class Row:
    """One usable row on its way to a line of instances.parquet; sizes in pixels."""

    task: str
    below: str  # the image's path below its prefix: <manual>/images/<name>
    prefix: str
    size: tuple[int, int]
    response: str
    boxes: objects.Objects | None
    step: steps.Step  # what the image's own path tells
    true_step: steps.Step  # the same for the true image that it was falsified from
    source: Dialogue

    @property
    def instance_id(self) -> str:
        """The task and the image's path below its prefix, without its suffix."""
        return f"{self.task}/{Path(self.below).with_suffix('').as_posix()}"

    @property
    def falsified(self) -> bool:
        """Whether the image shows a state that was tampered with."""
        return self.task == "state" and steps.true_name(self.below) != self.below

    def record(self) -> dict[str, Any]:
        """Return the row as a line of instances.parquet."""
        return {
            "instance_id": self.instance_id,
            "task": self.task,
            "manual": self.below.split("/", 1)[0],
            "image": f"{self.prefix}/{self.below}",
            "image_width": self.size[0],
            "image_height": self.size[1],
            "prompt": self.source.prompt,
            "response": self.response,
            "step_class": self.step.step_class,
            "step_num": self.step.number,
            "previous_instruction": self.step.previous_instruction,
            "step_instruction": self.true_step.instruction,
            "step_previous_instruction": self.true_step.previous_instruction,
            "falsified": self.falsified,
        }


class Reader:
    """Collects the rows of a tree that can be used and the reasons for the others."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.root = tree.resolve()
        self.rows: dict[str, Row] = {}
        self.quarantine: list[dict] = []
        self.frame: objects.Frame | None = None
        self.dialogues = self.true_images = 0
        self.manuals = steps.read_manuals(self.root)
        for file, position, reason in self.manuals.rejected:
            self.set_aside(file, position, reason)

    def read(self) -> None:
        """Read every dialogue file, add the true images, and put all boxes into pixels."""
        found = dialogues.find_files(self.root)
        renewed = any(path.name == "object_qwen_new.jsonl" for _, path in found)
        for task, path in found:
            superseded = renewed and path.name == "object_qwen.jsonl"
            self._read_file(task, path.relative_to(self.root).as_posix(), superseded)
        self._add_true_images()
        self._convert_boxes()

    def set_aside(self, file: str, position: int, reason: str, image: str | None = None) -> None:
        """Enter a row into the quarantine."""
        entry = {"schema_version": 1, "file": file, "position": position}
        self.quarantine.append(entry | {"reason": reason, "image": image})

    def _read_file(self, task: str, file: str, superseded: bool) -> None:
        for position, value in enumerate(self._values(file), 1):
            said = None
            self.dialogues += 1
            try:
                if isinstance(value, Rejected):
                    raise value
                said = dialogues.dialogue(value, file, position)
                if superseded:
                    raise Rejected("superseded by object_qwen_new.jsonl")
                self._keep(self._row(task, said, PREFIXES[task], self._find(task, said.image)))
            except Rejected as rejected:
                self.set_aside(file, position, str(rejected), said.image if said else None)

    def _values(self, file: str) -> Iterator[Any]:
        try:
            path = locate(self.root, file)
        except Rejected as rejected:
            return iter([rejected])
        return dialogues.read_values(path)

    def _find(self, task: str, uri: str) -> str:
        """Return the path below the task's prefix of the image that ``uri`` means."""
        _, found, below = uri.partition("lego/")
        below = posixpath.normpath(below).lstrip("/")
        if not found or "/" not in below or below.startswith("../"):
            raise Rejected("image not in lego/<manual>/")
        for name in (below, _GLUED_FAKE.sub("_", below)):
            try:
                locate(self.root, f"{PREFIXES[task]}/{name}")
                return name
            except Rejected as rejected:
                if str(rejected) != MISSING:
                    raise
        raise Rejected("image missing")

    def _row(self, task: str, said: Dialogue, prefix: str, below: str) -> Row:
        path = locate(self.root, f"{prefix}/{below}")
        step = self.manuals.step(below)
        true_step = self.manuals.step(steps.true_name(below))
        if step.step_class not in CLASSES[task]:
            raise Rejected(f"class {step.step_class or 'unknown'} is not of the {task} task")
        if task == "grounding" and step.number is None:
            raise Rejected("no step number")
        boxes = objects.parse(said.answer) if task == "object" else None
        row = Row(task, below, prefix, image_size(path), said.answer, boxes, step, true_step, said)
        if task == "state":
            return replace(row, response="No." if row.falsified else "Yes.")
        if not said.answer:
            raise Rejected("no answer in the dialogue")
        return row

    def _keep(self, row: Row) -> None:
        if row.instance_id in self.rows:
            raise Rejected("repeats an image of its task")
        self.rows[row.instance_id] = row

    def _add_true_images(self) -> None:
        """Add the true image of each falsified one from ``lego/``, in place of any other copy."""
        falsified = [row for row in self.rows.values() if row.falsified]
        for below, row in {steps.true_name(row.below): row for row in falsified}.items():
            if not (self.root / "lego" / below).exists():
                continue
            self.true_images += 1
            try:
                added = self._row("state", row.source, "lego", below)
            except Rejected as rejected:
                self.set_aside(row.source.file, row.source.position, str(rejected), f"lego/{below}")
                continue
            own = self.rows.pop(added.instance_id, None)
            if own:
                source = own.source
                reason = "true image taken from lego/"
                self.set_aside(source.file, source.position, reason, source.image)
            self._keep(added)

    def _convert_boxes(self) -> None:
        measured = [
            objects.Measured(row.boxes, row.size, f"{row.source.file}, row {row.source.position}")
            for row in self.rows.values()
            if row.boxes
        ]
        self.frame = objects.measure(measured)
        for identity, row in list(self.rows.items()):
            if not row.boxes:
                continue
            try:
                response = objects.canonical(row.boxes, row.size, self.frame)
                self.rows[identity] = replace(row, response=response)
            except Rejected as rejected:
                source = self.rows.pop(identity).source
                self.set_aside(source.file, source.position, str(rejected), source.image)


class Index(NamedTuple):
    """What a tree holds.

    Attributes:
        records: the usable rows, with the keys ``instances.COLUMNS``, sorted by instance id.
        quarantine: the other rows, by file and position, as in quarantine.jsonl.
        summary: ``object_frame`` (``pixels``, ``percent`` or None), the number of ``dialogues``
            read, of ``true_images`` added beside falsified ones, and of instructions and files
            of ``metadata`` that were not understood; ``rows`` by task and ``quarantined`` by
            reason. Rows and quarantined add up to dialogues, true images and metadata.
    """

    records: list[Record]
    quarantine: list[dict]
    summary: dict[str, Any]


def index(tree: Path) -> Index:
    """Return the usable rows of a tree, and the others.

    Raises:
        UserError: no such tree, no usable row in it, or boxes in more than one frame.
    """
    tree = Path(tree)
    if not (tree / "qwen_data").is_dir():
        raise UserError(_not_a_tree(tree, "it has no folder qwen_data"))
    reader = Reader(tree)
    reader.read()
    reasons = Counter(entry["reason"] for entry in reader.quarantine)
    if not reader.rows:
        found = "; ".join(f"{reason}: {count}" for reason, count in reasons.most_common(5))
        raise UserError(_not_a_tree(tree, f"no usable row was found ({found or 'no dialogue'})"))
    tasks = Counter(row.task for row in reader.rows.values())
    summary = {
        "object_frame": reader.frame,
        "dialogues": reader.dialogues,
        "true_images": reader.true_images,
        "metadata": len(reader.manuals.rejected),
        "rows": dict(sorted(tasks.items())),
        "quarantined": dict(sorted(reasons.items())),
    }
    records = [reader.rows[identity].record() for identity in sorted(reader.rows)]
    quarantine = sorted(reader.quarantine, key=lambda entry: (entry["file"], entry["position"]))
    return Index(records, quarantine, summary)


def write_index(tree: Path, out: Path, quarantine: Path) -> dict[str, Any]:
    """Index ``tree`` into two files and return the summary, which instances.parquet keeps too."""
    found = index(tree)
    write_instances(out, found.records, found.summary)
    files.write_jsonl(quarantine, found.quarantine)
    return found.summary


def _not_a_tree(tree: Path, why: str) -> str:
    return (
        f"{tree} is not a dataset tree: {why}. Remedy: give the folder that holds json_data/, "
        "qwen_data/, lego/, object_dataset/ and step_dataset/ in LEGO-ARTA's layout, or draw one "
        "with 'legor1 synthesize'."
    )
