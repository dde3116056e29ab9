"""Why to trust the numbers, or not: differences, free baselines, parse rates, the data audit."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from markupsafe import Markup

from legor1.core import provenance
from legor1.core.format import count, p_value, percent, points, size
from legor1.core.layout import IN_RUN
from legor1.published import defects
from legor1.publishing import outputs
from legor1.report.citation import Cited, cite, pointer
from legor1.report.sections import result_tables
from legor1.report.study import Experiment, Study
from legor1.tasks import baselines
from legor1.tasks.discovery import METRICS, TASKS, metric

Table = tuple[list[str], list[list[str]]]  # headings and rows
PROTOCOL = "sound"  # under it an unreadable answer is a miss; the thesis's has no such rates
LOW = 0.95  # a smaller share of readable answers is pointed out
READING = (
    "Experiment", "Task", "Answers", "As asked, %", "Interval", "Readable, %", "Interval",
    "Cut off, %",
)  # fmt: skip
VERDICTS = {"found": "▲ found", "none": "○ none", "not measured": "not measured"}
BESIDE = ("tables", "gallery_images")  # the report, and made with it


@dataclass(frozen=True)
class Audit:
    """The audit of one protocol of data preparation: its switches that are on, and the findings."""

    protocol: str
    switches: str
    found: list[str]
    table: Table


def differences(study: Study) -> Table:
    """Return how the experiments differ, pair by pair, on the same examples, in points."""
    cited = partial(cite, IN_RUN.comparison, study.comparison)
    headings = ["Experiment", "Against", "Task", "Metric", "Difference, points", "Interval"]
    rows: list[list[str]] = []
    for i, one in enumerate(study.comparison.get("comparisons", [])):
        for task, found in one["tasks"].items():
            where = ("comparisons", i, "tasks", task)
            main = (*where, "metrics", found["main"])
            ends = (cited(*main, end, write=points) for end in ("low", "high"))
            rows.append(
                [
                    one["experiment"],
                    one["baseline"],
                    TASKS[task].title,
                    metric(task, found["main"]).label,
                    cited(*main, "difference", write=points),
                    Markup("{} to {}").format(*ends),
                    cited(*main, "p_holm", write=p_value),
                ]
            )
    return [*headings, "p (Holm)"], rows


def free_baselines(study: Study, protocol: str) -> Table:
    """Return the scores of the baselines that need no model, in percent, beside the best model's.

    A metric of which no baseline has a number is left out.
    """
    rows: list[list[str]] = []
    for one in METRICS:
        free = dict(result_tables.free_scores(study, protocol, one))
        known = [study.score(protocol, one.task, one.name, e) for e in study.experiments]
        best = max(
            (score for score in known if score),
            key=lambda score: one.worth(score.value),
            default=None,
        )
        scores = [*(free.get(name) for name in baselines.NAMES), best]
        if free:
            rows.append([one.label, *(score.cited() if score else "–" for score in scores)])
    names = [name.replace("_", " ") for name in baselines.NAMES]
    return ["Metric", *names, "best experiment"], rows


def rates(study: Study) -> Table:
    """Return what share of the answers could be read, by experiment and task, in percent.

    Instructions have no such rates: they are prose, of which all can be read.
    """
    rows: list[list[str]] = []
    for one in study.experiments:
        asked = {row["task"] for row in study.predictions[one.name].values()}
        for task in (task for task in TASKS if task in asked):
            number, cut = _counted(study, one, task)
            rows.append([one.name, TASKS[task].title, number, *_shares(study, one, task), cut])
    return list(READING), rows


def _counted(study: Study, one: Experiment, task: str) -> tuple[Cited, str]:
    """Return how many answers there are, and the share that the limit on tokens cut off."""
    answers = [row for row in study.predictions[one.name].values() if row["task"] == task]
    file, n = IN_RUN.predictions(one.name), len(answers)
    number = Cited(count(n), n, pointer(file, "task"), f"how many are {task}")
    if not all("finished" in row for row in answers):
        return number, "–"
    share = sum(not row["finished"] for row in answers) / n
    how = f"share of {task} that is not"
    return number, Cited(percent(share), share, pointer(file, "finished"), how)


def _shares(study: Study, one: Experiment, task: str) -> Iterable[str]:
    """Yield the share that is as it was asked for, and that can be read at all, with intervals."""
    for name in ("parse_strict", "parse_lenient"):
        score = study.score(PROTOCOL, task, name, one)
        if score is None:
            yield from ("–", "–")
            continue
        yield Markup("▼ {}" if score.value < LOW else "{}").format(score.cited())
        ends = score.cited("low"), score.cited("high")
        yield Markup("{} to {}").format(*ends) if score.bounded else "–"


def audits(study: Study) -> list[Audit]:
    """Return the audit of each protocol of data preparation that has one."""
    made = []
    for name, audit in study.audits.items():
        if audit:
            on = sorted(defects.chosen(study.config["protocols"][name]["defects"]))
            table = _findings(IN_RUN.data.audit(name), audit)
            made.append(Audit(name, ", ".join(on) or "none", audit["defects_found"], table))
    return made


def hashes(study: Study) -> Table:
    """Return the DVC hash of every output that the report was made from.

    While the run is at work there is none: files come and go.
    """
    beside = (".html", provenance.RECORD)  # made from the outputs, or of how they were made
    names = [
        name
        for name in ([] if study.missing else outputs.listed(study.folder))
        if not name.endswith(beside) and name not in BESIDE
    ]
    rows: list[list[str]] = [
        [
            name,
            Cited(count(len(one.files)), len(one.files), pointer(name), "files"),
            Cited(size(one.size), one.size, pointer(name), "bytes"),
            Cited(one.md5, one.md5, pointer(name), "DVC's hash"),
        ]
        for name, one in outputs.hashed(study.folder, names).items()
    ]
    return ["Output", "Files", "Size", "DVC hash (MD5)"], rows


def _findings(file: str, audit: dict[str, Any]) -> Table:
    headings = ["Defect", "What was measured", "Prompts", "Value, %", "Interval", "Chance, %", "n"]
    rows: list[list[str]] = []
    for i, one in enumerate(audit["findings"]):
        cited = partial(cite, file, audit, "findings", i)
        ends = (cited(end, write=percent) for end in ("low", "high"))
        rows.append(
            [
                one["defect"],
                one["measured"],
                one["variant"] or "both",
                cited("value", write=percent),
                "–" if one["low"] is None else Markup("{} to {}").format(*ends),
                cited("chance", write=percent) if one["chance"] else "–",
                cited("n", write=count),
                VERDICTS[one["verdict"]],
            ]
        )
    return [*headings, "Verdict"], rows
