"""A folder in one of these formats → rows, and a quarantine of what could not be used."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path

from legor1.core import files
from legor1.core.boxes import SCALES, rescale_text
from legor1.core.errors import UserError
from legor1.core.files import Rejected, open_below
from legor1.core.images import image_size
from legor1.data.formats.annotations import coco, yolo
from legor1.data.formats.chats import chats
from legor1.data.formats.example import FREE, OBJECT, STATE, Example, Images, Options, Unread
from legor1.data.instances import Record, Row, write_instances
from legor1.data.lego_arta import object_answers
from legor1.tasks.discovery import TASKS
from legor1.tasks.parsing import parse_objects, parse_state

READERS = {"coco": coco, "yolo": yolo, "jsonl": chats}
MOST_OUTSIDE = 0.1  # share of answers with a box outside the image: more is another frame


def write_index(folder: Path, options: Options, out: Path, quarantine: Path) -> Record:
    """Index ``folder`` into two files and return the summary.

    ``options`` are ``format`` and those of the config's block of that name. A UserError says that
    nothing in it can be used, or that boxes are in another frame.
    """
    root = Path(folder).resolve()
    rows: dict[str, Row] = {}
    unread: list[Record] = []
    for example in _examples(root, options):
        try:
            if isinstance(example, Unread):
                raise example.reason
            row = _row(root, example, options.get("group"))
            rows[row.instance_id] = row
        except Rejected as rejected:
            where = {"schema_version": 1, "file": example.file, "position": example.position}
            unread.append(where | {"reason": str(rejected), "image": example.image})
    reasons = Counter(one["reason"] for one in unread)
    _check(folder, rows, reasons)
    summary = {
        "dialogues": len(rows) + len(unread),
        "rows": dict(sorted(Counter(row.task for row in rows.values()).items())),
        "quarantined": dict(sorted(reasons.items())),
    }
    write_instances(out, [rows[name] for name in sorted(rows)], summary)
    files.write_jsonl(quarantine, sorted(unread, key=itemgetter("file", "position")))
    return summary


def _examples(root: Path, options: Options) -> Iterator[Example | Unread]:
    kind, wanted, images = options["format"], options["files"], Images(root)
    paths = sorted(root.glob(wanted))
    if not paths:
        raise UserError(f"{root} has no {wanted}. Remedy: name the files in dataset.{kind}.files.")
    for path in paths:
        yield from READERS[kind](root, path, images, options)


def _row(root: Path, example: Example, group: str | None) -> Row:
    with open_below(root, example.image) as file:
        size = image_size(file)
    if example.size not in (None, size):
        raise Rejected("image of another size than the file says")
    if not example.prompt or not example.answer:
        raise Rejected("no question or no answer")
    task = example.task or _task(example.answer)
    if task not in TASKS:
        raise Rejected(f"there is no task {task!r}")
    answer, says_yes = example.answer, parse_state(example.answer)
    if task == OBJECT:
        if example.boxes != "pixels":
            answer = rescale_text(answer, SCALES[example.boxes], size)
        answer = object_answers.canonical(object_answers.parse(answer), size, "pixels")
    elif task == STATE and says_yes is None:
        raise Rejected("answer is neither yes nor no")
    elif task == STATE:
        answer = "Yes." if says_yes else "No."
    filed = (answer, "pixels") if task == OBJECT else ("", "")
    return Row(
        f"{task}/{example.image}#{example.file}:{example.position}",
        task,
        example.group or _group(example.image, group),
        example.image,
        *size,
        example.prompt,
        answer,
        falsified=task == STATE and not says_yes,
        file_response=filed[0],
        file_frame=filed[1],
    )


def _task(answer: str) -> str:
    """Return the task that an answer is of, where the file does not say."""
    if parse_objects(answer, strict=True):
        return OBJECT
    return FREE if parse_state(answer.capitalize(), strict=True) is None else STATE


def _group(image: str, pattern: str | None) -> str:
    """Return what images of one group share: the pattern's match in the path, else the path."""
    match = re.search(pattern, image) if pattern else None
    name = match and match[1 if match.re.groups else 0]
    return name or image


def _check(folder: Path, rows: Mapping[str, Row], reasons: Counter[str]) -> None:
    if not rows:
        listed = "; ".join(f"{reason}: {n}" for reason, n in reasons.most_common(5)) or "no example"
        raise UserError(f"{folder} has no usable example ({listed}). Remedy: see docs/formats.md.")
    outside = reasons[object_answers.OUTSIDE]
    if outside > MOST_OUTSIDE * (outside + sum(row.task == OBJECT for row in rows.values())):
        raise UserError(
            f"{outside} answers in {folder} have a box outside their image, so they are in other "
            "units. Remedy: set `boxes` of the dataset to percent, thousandths or fractions."
        )
