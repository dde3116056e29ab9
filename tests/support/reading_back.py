"""Every number of a rendered report, read back from the file that it names.

Nothing of the report's own code is used but the matching of boxes, which has tests of its own.
"""

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet
from reading_records import EVERY_RECORD, of_records, used

from legor1.core.boxes import iou_matrix
from legor1.tasks.metrics.detection import agreement, match
from legor1.tasks.parsing import extract, parse_objects, parse_state

ROOT = Path(__file__).parents[2]
# Elements whose text is not the report's: drawings (their tables have the numbers), what was
# quoted as it is, names, and the style.
NOT_OURS = {"svg", "pre", "style", "script", "title", "bdi", "code", "b.name", "h4", "span.key"}
# Names that have a digit in them, and what the report says of its method.
NAMES = re.compile(
    r"LEGO-R1|Qwen[\w.-]+|7B|F1-\w+|F1|ROUGE-[1L]|ROUGE|IoU 0\.5|BLIP2|mPLUG-OWL2|MiniGPT-v?[24]"
    r"|GPT-4o|MD5|\bsha256\b|Figure 1|\bcounts? 0\b|coin scores 50|exceed 100|\b1 where"
    r"|few_shot|float32|legor1"
)
# The first column of a table that has groups: they are no results.
GROUPS = re.compile(r"\d|\d or more")
FATES = r"share of (right|misnamed|misplaced|missed|unreadable|extra) boxes"
UNITS = {
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}


SLACK = 1e-9  # parts that are added in another order


@dataclass
class Cited:
    """A ``data`` element: its text, value, source, and how it follows from the source."""

    text: str
    value: str
    source: str
    how: str


@dataclass
class Report(HTMLParser):
    """The cited values of a page, and the texts outside of them."""

    source: str
    cited: list[Cited] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    first_cells: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "data":
            facts = (given["value"], given["data-source"], given.get("data-how", ""))
            self.cited.append(Cited("", *facts))
        if tag not in ("meta", "link"):
            name = given.get("class", "").partition(" ")[0]
            self.open.append(f"{tag}.{name}" if name else tag)

    def handle_endtag(self, tag):
        while self.open.pop().partition(".")[0] != tag:
            pass

    def handle_data(self, data):
        names = {part for one in self.open for part in (one, one.partition(".")[0])}
        if "data" in names:
            self.cited[-1].text += data
        elif not names & NOT_OURS:
            (self.first_cells if self.open[-1:] == ["th"] else self.others).append(data.strip())

    def uncited(self) -> list[str]:
        """Return the texts that have a number in them, and no source."""
        cells = [text for text in self.first_cells if not GROUPS.fullmatch(text)]
        ours = self.others + cells
        return [text for text in ours if re.search(r"\d", NAMES.sub("", text))]


@dataclass
class Examples(HTMLParser):
    """What is true of each example of a gallery, as ``name/key``: ``task/object``, ``by/0``, …"""

    source: str
    found: list[set[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        first, _, last = given.get("class", "").partition(" ")
        if (tag, first) == ("article", "example"):
            reasons = {f"reason/{one}" for one in given["data-reason"].split()}
            self.found.append({"all/", f"task/{last.split()[0]}"} | reasons)
        elif (tag, first) == ("section", "answer"):
            self.found[-1] |= {last.replace("by-", "by/"), f"mark/{given.get('data-mark')}"}


class Files:
    """The files that sources name, each read once."""

    def __init__(self, run: Path) -> None:
        self.run, self.read = run, {}

    def content(self, file: str) -> Any:
        if file not in self.read:
            self.read[file] = self._content(file)
        return self.read[file]

    def _content(self, file: str) -> Any:
        path = (ROOT if file.startswith("workflow/") else self.run) / file
        if path.suffix == ".tsv":
            tables = (csv.DictReader(one.open(), delimiter="\t") for one in self.run.glob(file))
            return [row for table in tables for row in table]
        if file == EVERY_RECORD:
            return used(self.run)
        if "*" in file:
            return [json.loads(one.read_text()) for one in sorted(self.run.glob(file))]
        if path.suffix == ".json":
            return json.loads(path.read_text())
        if path.suffix == ".jsonl":
            whole = path.read_text().split("\n")[:-1]  # another line may be in the making
            return [json.loads(line) for line in whole]
        if path.suffix == ".html":
            return Examples(path.read_text()).found
        if path.suffix == ".csv":
            with path.open() as lines:
                return [*csv.DictReader(lines)]
        assert path.suffix == ".parquet", file
        return {row["instance_id"]: row for row in pyarrow.parquet.read_table(path).to_pylist()}

    def value(self, one: Cited) -> Any:
        """Return what the source of a citation holds; of several, the sum."""
        sources, ways = one.source.split(" + "), one.how.split(" + ")
        if len(sources) > 1:
            assert len(sources) == len(ways)
            parts = zip(sources, ways, strict=True)
            plain = (Cited("", "", source, how.removeprefix("itself")) for source, how in parts)
            return sum(map(self.value, plain))
        file, _, way = one.source.partition("#")
        keys = [key.replace("~1", "/").replace("~0", "~") for key in way.split("/")[1:]]
        if one.how:
            return computed(self, file, keys, one.how)
        found = self.content(file)
        if file.endswith(".csv"):
            *where, column = keys
            (row,) = (row for row in found if [*row.values()][: len(where)] == where)
            return row[column]
        for key in keys:
            found = found[int(key)] if isinstance(found, list) else found[key]
        return found


def computed(files: Files, file: str, keys: list[str], how: str) -> Any:
    """Return what is made of a source, by the words that say how; KeyError for unknown ones."""
    if how in ("files", "bytes", "DVC's hash"):
        return of_output(files.run / file)[how]
    content = files.content(file)
    if how == "examples of that page":
        return sum("/".join(keys) in true for true in content)
    if how.startswith("state: ") or re.fullmatch(f"true boxes|{FATES}", how):
        return of_predictions(content, how)
    if by_parts := re.fullmatch(r"F1 of box (and label|alone), (\d)( or more)? parts", how):
        return f1_of_parts(content.values(), *by_parts.groups())
    if how == "main tests":
        return sum(len(pair["tasks"]) for pair in content[keys[0]])
    if file == EVERY_RECORD:
        return of_records(content, keys[0], how)
    if found := re.fullmatch(r"hours × (\d+)", how):
        listed = content if isinstance(content, list) else [content]
        return sum(one[keys[0]] for one in listed) / 3600 * int(found[1])
    if share := re.fullmatch(r"share of (\w+) that is not", how):
        answers = [row[keys[0]] for row in content if row["task"] == share[1]]
        return answers.count(False) / len(answers)
    if how == "mean":
        logged = [row[keys[0]] for row in content if row.get(keys[0]) is not None]
        return sum(logged) / len(logged)
    if how == "its length":
        return len(content[keys[0]])
    if how == "less /trainable_parameters":
        return content[keys[0]] - content["trainable_parameters"]
    if how == "sum":
        return sum(float(one[keys[0]]) for one in content if one[keys[0]] != "NA")
    if how == "greatest":
        kinds = ("peak_gpu_memory_mib", "peak_memory_mib")
        return max(next(one[kind] for kind in kinds if one[kind]) for one in content)
    if how == "running mean":
        return running_mean(content, int(keys[0]), keys[1])
    if reason := re.fullmatch("how many are (.*)", how, re.S):
        rows = content if isinstance(content, list) else content[keys[0]]
        return sum(row[keys[-1]] == reason[1] for row in rows)
    raise KeyError(how)


def of_predictions(rows: list[dict], how: str) -> Any:
    """Return what is counted or averaged over predictions."""
    if words := re.fullmatch(r"state: true (Yes|No), said (Yes|No|unreadable)", how):
        said = {"Yes": True, "No": False, "unreadable": None}
        answers = [
            (parse_state(extract(row["reference"])), parse_state(row["prediction"]))
            for row in rows
            if row["task"] == "state"
        ]
        return answers.count((said[words[1]], said[words[2]]))
    fates = [fate for row in rows if row["task"] == "object" for fate in _fates(row)]
    true = len(fates) - fates.count("extra")
    share = re.fullmatch(FATES, how)
    return fates.count(share[1]) / true if share else true


def _fates(row: dict) -> Iterable[str]:
    """Yield what became of each true box of an answer, and ``extra`` for each box that met none."""
    true, predicted = parse_objects(row["reference"]) or [], parse_objects(row["prediction"])
    if predicted is None:
        yield from ["unreadable"] * len(true)
        return
    ious = iou_matrix([item.box for item in predicted], [item.box for item in true])
    met = [
        (ious[i, j], agreement(predicted, true)[i, j]) for i, j in zip(*match(ious), strict=True)
    ]
    met = [(iou, named) for iou, named in met if iou]
    for iou, named in met:
        yield "misplaced" if iou < 0.5 else "right" if named else "misnamed"
    yield from ["missed"] * (len(true) - len(met)) + ["extra"] * (len(predicted) - len(met))


def f1_of_parts(rows: Iterable[dict], kind: str, parts: str, more: str | None) -> float:
    """Return the F1 of boxes over the scored examples with so many true ones."""
    hits = {"and label": "matched_50_labelled", "alone": "matched_50"}[kind]
    boxes = [(row["true_boxes"], row["predicted_boxes"], row[hits]) for row in rows]
    kept = [one for one in boxes if one[0] == int(parts) or (more and one[0] > int(parts))]
    return 2 * sum(one[2] for one in kept) / sum(one[0] + one[1] for one in kept)


def running_mean(history: list[dict], i: int, key: str) -> float:
    values = [row.get(key, math.nan) for row in history]
    kept = [(n, value) for n, value in enumerate(values) if value == value]
    at = next(j for j, (n, _) in enumerate(kept) if n == i)
    reach = len(kept) // 24 if len(kept) > 24 else 0
    near = [value for _, value in kept[max(0, at - reach) : at + reach + 1]]
    return sum(near) / len(near)


def of_output(path: Path) -> dict[str, Any]:
    """Return the number of files, the bytes and DVC's hash of a file or folder."""
    files = sorted(one for one in _walk(path) if one.is_file()) if path.is_dir() else [path]
    md5 = {one: hashlib.md5(one.read_bytes()).hexdigest() for one in files}
    listing = [{"md5": md5[one], "relpath": one.relative_to(path).as_posix()} for one in files]
    listing.sort(key=lambda one: one["relpath"])
    whole = hashlib.md5(json.dumps(listing).encode()).hexdigest() + ".dir"
    size = sum(one.stat().st_size for one in files)
    own = whole if path.is_dir() else md5[path]
    return {"files": len(files), "bytes": size, "DVC's hash": own}


def _walk(path: Path) -> Iterable[Path]:
    for one in path.iterdir():
        yield from _walk(one) if one.is_dir() else [one]


def says(text: str, value: Any) -> bool:
    """Tell whether a text says a value: a number as exactly as its digits allow."""
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value) and text != value:
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _says_text(text, value)
    if text == "< 0.001":
        return value < 0.001
    if duration := re.fullmatch(r"(?:(\d+) h )?(?:(\d+) min ?)?(?:(\d+) s)?", text):
        hours, minutes, seconds = (int(part or 0) for part in duration.groups())
        exact = 0.5 + SLACK if duration[3] else 60
        return abs(3600 * hours + 60 * minutes + seconds - value) <= exact
    number, _, unit = text.replace("−", "-").replace(",", "").partition(" ")
    number, percent = number.rstrip("%\N{NO-BREAK SPACE}"), "%" in text
    digits, _, power = number.lower().partition("e")
    half = 0.5 * 10.0 ** (int(power or 0) - len(digits.partition(".")[2])) * (1 + SLACK)
    scales = [0.01] if percent else [UNITS[unit]] if unit in UNITS else [1, 0.01]
    said = float(number)
    memory = unit == "MiB" and abs(said - value) <= half
    return memory or any(abs(said - value / scale) <= half for scale in scales)


def _says_text(text: str, value: Any) -> bool:
    if isinstance(value, dict):  # provenance: its commit
        return _says_text(text, value["commit"])
    if isinstance(value, list):
        names = ", ".join(dict.fromkeys(str(one).partition(",")[0] for one in value))
        return text in (", ".join(map(str, value)), names)  # of GPUs, the names alone
    named = {True: "yes", False: "no", None: "none"}
    if isinstance(value, bool) or value is None:
        return text in (named[value], "–" if value is None else "")
    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", text):  # without its zone, which is UTC
        return value == text.replace(" ", "T") + "+00:00"
    start = text.removeprefix("sha256 ").partition(",")[0].removesuffix("…")
    return value.startswith(start) and len(start) >= min(len(value), 12)


def faults(run: Path, page: str) -> list[str]:
    """Return what is wrong with the numbers of the report of a run: nothing, it is hoped."""
    report, files = Report(page), Files(run)
    wrong = [f"no source: {text}" for text in report.uncited()]
    for one in report.cited:
        value = files.value(one)
        plain = repr(value) if isinstance(value, float) else str(value)
        same = one.value == plain or _close(one.value, plain)
        if not (same and says(one.text, value)):
            wrong.append(f"{one} is {value!r}")
    return wrong


def _close(one: str, other: str) -> bool:
    """Tell whether two texts are one number, but for the order in which its parts were added."""
    try:
        return math.isclose(float(one), float(other), rel_tol=1e-12)
    except ValueError:
        return False
