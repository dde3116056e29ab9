"""The dataset's tree → instances.parquet, and quarantine.jsonl for every row that is not in it.

No row stops the reading and none is lost: each is kept, or set aside with its file, its position
there and the reason.
"""

import posixpath
from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

from legor1.core import files
from legor1.core.boxes import Size, as_json
from legor1.core.errors import UserError
from legor1.core.files import MISSING, Rejected, locate, open_below
from legor1.core.images import image_size
from legor1.data.instances import COPY, Record, Row, write_instances
from legor1.data.lego_arta import dialogues, object_answers, steps
from legor1.data.lego_arta.dialogues import Dialogue
from legor1.tasks.discovery import TASKS


class Index:
    """What a tree holds: its usable rows by instance id, and those in quarantine."""

    def __init__(self, root: Path) -> None:
        self.root, self.manuals = root, steps.read_manuals(root)
        self.rows: dict[str, Row] = {}
        self.quarantine: list[Record] = []
        self.measure = object_answers.Measure()
        self.dialogues = self.true_images = 0
        self._falsified: dict[str, Dialogue] = {}  # by the path of the true image
        self._boxes: dict[str, tuple[object_answers.Objects, Size, Dialogue]] = {}  # by id

    def read(self) -> None:
        """Read the dialogue files, add true images, and put all boxes into pixels."""
        for rejected in self.manuals.rejected:
            self._set_aside(*rejected)
        paths = dialogues.find_files(self.root)
        renewed = any(path.name == "object_qwen_new.jsonl" for _, path in paths)
        for task, path in paths:
            superseded = renewed and path.name == "object_qwen.jsonl"
            self._read_file(task, path.relative_to(self.root).as_posix(), superseded)
        self._add_true_images()
        self._convert_boxes()

    def summary(self) -> Record:
        """Return what was found; instances.parquet keeps it too.

        ``object_frame`` is ``pixels``, ``percent`` or None, and was measured on ``object_answers``
        in the new form, whose largest coordinate and its share of the image follow. Rows and
        quarantined add up to ``dialogues``, ``true_images`` added beside falsified ones, and
        ``metadata``: files and instructions not understood.
        """
        reasons = Counter(entry["reason"] for entry in self.quarantine)
        return {
            "object_frame": self.measure.frame,
            "object_answers": self.measure.answers,
            "largest_coordinate": self.measure.largest,
            "largest_share": round(self.measure.filled, 4),
            "dialogues": self.dialogues,
            "true_images": self.true_images,
            "metadata": len(self.manuals.rejected),
            "rows": dict(sorted(Counter(row.task for row in self.rows.values()).items())),
            "quarantined": dict(sorted(reasons.items())),
        }

    def _set_aside(self, file: str, position: int, reason: str, image: str | None = None) -> None:
        entry = {"schema_version": 1, "file": dialogues.storable(file), "position": position}
        self.quarantine.append(entry | {"reason": reason, "image": image})

    def _read_file(self, task: str, file: str, superseded: bool) -> None:
        for position, value in enumerate(self._values(file), 1):
            dialogue = None
            self.dialogues += 1
            try:
                if isinstance(value, Rejected):
                    raise value
                dialogue = dialogues.dialogue(value, file, position)
                if superseded:
                    raise Rejected("superseded by object_qwen_new.jsonl")
                self._keep(task, dialogue, TASKS[task].rows.prefix, *self._find(task, dialogue))
            except Rejected as rejected:
                image = dialogue.image if dialogue else None
                self._set_aside(file, position, str(rejected), image)

    def _values(self, file: str) -> Iterator[object]:
        try:
            path = locate(self.root, file)
        except Rejected as rejected:
            return iter([rejected])
        return dialogues.read_values(path)

    def _find(self, task: str, dialogue: Dialogue) -> tuple[str, Size]:
        """Return the path below the task's prefix of the image that is meant, and its size."""
        _, marker, below = dialogue.image.partition("lego/")
        if "//" in below or "/." in below or below.startswith((".", "/")) or below.endswith("/"):
            below = posixpath.normpath(below).lstrip("/")
        if not marker or "/" not in below or below.startswith("../"):
            raise Rejected("image not in lego/<manual>/")
        for path in dict.fromkeys((below, steps.GLUED_FAKE.sub("_", below))):
            try:
                file = open_below(self.root, f"{TASKS[task].rows.prefix}/{path}")
            except Rejected as rejected:
                if str(rejected) != MISSING:
                    raise
                continue
            true = steps.true_name(path) if task == "state" else path
            if true != path:
                self._falsified.setdefault(true, dialogue)
            with file:
                return path, image_size(file)
        raise Rejected("image missing")

    def _keep(self, task: str, dialogue: Dialogue, prefix: str, below: str, size: Size) -> None:
        step = true_step = self.manuals.step(below)
        if step.step_class not in TASKS[task].rows.classes:
            raise Rejected(f"class {step.step_class or 'unknown'} is not of the {task} task")
        if task == "grounding" and step.number is None:
            raise Rejected("no step number")
        answer, falsified = dialogue.answer, False
        if task == "state":
            true = steps.true_name(below)
            falsified, true_step = true != below, self.manuals.step(true)
            answer = "No." if falsified else "Yes."
        boxes = object_answers.parse(answer) if task == "object" else None
        if not answer:
            raise Rejected("no answer in the dialogue")
        identity = instance_id(task, prefix, below, falsified)
        if identity in self.rows:
            raise Rejected("repeats an image of its task")
        if boxes:
            self._boxes[identity] = boxes, size, dialogue
        self.rows[identity] = Row(
            identity,
            task,
            below.partition("/")[0],
            f"{prefix}/{below}",
            *size,
            dialogue.prompt,
            answer,
            step.step_class,
            step.number,
            step.loaded_instruction,
            true_step.instruction,
            true_step.previous_instruction,
            falsified,
        )

    def _add_true_images(self) -> None:
        """Add the true image of each falsified one from ``lego/``, beside any other copy."""
        for below, dialogue in self._falsified.items():
            image = f"lego/{below}"
            try:
                with open_below(self.root, image) as file:
                    size = image_size(file)
                self._keep("state", dialogue, "lego", below, size)
            except Rejected as rejected:
                if str(rejected) == MISSING:
                    continue
                self._set_aside(dialogue.file, dialogue.position, str(rejected), image)
            self.true_images += 1

    def _convert_boxes(self) -> None:
        self.measure = object_answers.measure(self._boxes.values())
        frame = self.measure.frame
        for identity, (boxes, size, dialogue) in reversed(self._boxes.items()):
            row = self.rows.pop(identity)
            try:
                self.rows[identity] = row._replace(
                    response=object_answers.canonical(boxes, size, frame),
                    file_response=as_json(boxes.boxes, boxes.labels),
                    file_frame="percent" if boxes.percent else frame or "",
                )
            except Rejected as rejected:
                self._set_aside(dialogue.file, dialogue.position, str(rejected), dialogue.image)


def instance_id(task: str, prefix: str, below: str, falsified: bool) -> str:
    """Return the task and the image's path below its prefix; a copied true state is marked."""
    copied = task == "state" and prefix != "lego" and not falsified
    return f"{task}/{below.removesuffix('.png')}{COPY if copied else ''}"


def index(tree: Path) -> Index:
    """Return the usable rows of a tree by id, and the others by file and position.

    A UserError says that it is no tree, has no usable row, or boxes in more than one frame.
    """
    if not (Path(tree) / "qwen_data").is_dir():
        raise _not_a_tree(tree, "it has no folder qwen_data")
    content = Index(Path(tree).resolve())
    content.read()
    if not content.rows:
        reasons = Counter[str](content.summary()["quarantined"]).most_common(5)
        listed = "; ".join(f"{reason}: {count}" for reason, count in reasons) or "no dialogue"
        raise _not_a_tree(tree, f"no usable row was found ({listed})")
    content.rows = dict(sorted(content.rows.items()))
    content.quarantine.sort(key=itemgetter("file", "position"))
    return content


def write_index(tree: Path, out: Path, quarantine: Path) -> Record:
    """Index ``tree`` into two files and return the summary."""
    indexed = index(tree)
    summary = indexed.summary()
    write_instances(out, indexed.rows.values(), summary)
    files.write_jsonl(quarantine, indexed.quarantine)
    return summary


def _not_a_tree(tree: Path, why: str) -> UserError:
    return UserError(
        f"{tree} is not a dataset tree: {why}. Remedy: give the folder that holds json_data/, "
        "qwen_data/, lego/, object_dataset/ and step_dataset/ in LEGO-ARTA's layout, or draw one "
        "with 'legor1 synthesize'."
    )
