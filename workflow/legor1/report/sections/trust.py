"""How certain the numbers are: intervals, differences, free baselines, parse rates, the audit."""

from collections.abc import Iterable
from functools import partial

from markupsafe import Markup

from legor1.core import provenance
from legor1.core.format import count, p_value, percent, points, size
from legor1.core.layout import IN_RUN
from legor1.evaluation import suites
from legor1.published import defects
from legor1.publishing import outputs
from legor1.report.citation import Cited, Record, Table, cite, counted, pointer, span
from legor1.report.study import DIFFERENCE, Experiment, Study
from legor1.tasks import baselines
from legor1.tasks.discovery import METRICS, TASKS, metric

PROTOCOL = "sound"  # under it an unreadable answer is a miss; the thesis's has no such rates
LOW = 0.95  # a smaller share of readable answers is pointed out
VERDICTS = {"found": "▲ found", "none": "○ none", "not measured": "not measured"}
NOT_INPUTS = ("tables", "gallery_images")  # made together with the report


def confidence(study: Study) -> Cited:
    """Return the confidence of the intervals as whole percent, unbroken."""
    cited = partial(cite, study.config_file, study.config, "evaluation", "confidence")
    return cited(write=lambda fraction: f"{100 * fraction:.0f}\N{NO-BREAK SPACE}%")


def differences(study: Study) -> Table:
    """Return how the experiments differ, pair by pair, on the same examples, in points."""
    cited = partial(cite, IN_RUN.comparison, study.comparison)
    rows: list[list[str]] = []
    for i, pair in enumerate(study.comparison.get("comparisons", [])):
        for task, compared in pair["tasks"].items():
            main = ("comparisons", i, "tasks", task, "metrics", compared["main"])
            difference, low, high = (cited(*main, key, write=points) for key in DIFFERENCE)
            names = [pair["experiment"], pair["baseline"]]
            names += [TASKS[task].title, metric(task, compared["main"]).label]
            p = cited(*main, "p_holm", write=p_value)
            rows.append([*names, difference, span(low, high), p])
    headings = ["Experiment", "Against", "Task", "Metric", "Difference, points", "Interval"]
    return [*headings, "p (Holm)"], rows


def free_baselines(study: Study, protocol: str) -> Table:
    """Return the scores of the baselines that need no model, in percent, beside the best model's.

    A metric of which no baseline has a number is left out.
    """
    rows: list[list[str]] = []
    for shown in METRICS:
        free = study.of_names(protocol, shown, baselines.NAMES)
        scores = [score for _, score in study.scored(protocol, shown)]
        best = max(scores, key=lambda score: shown.worth(score.value), default=None)
        if free:
            cells = [*(free.get(name) for name in baselines.NAMES), best]
            rows.append([shown.label, *(score.cited() if score else "–" for score in cells)])
    names = [name.replace("_", " ") for name in baselines.NAMES]
    return ["Metric", *names, "best experiment"], rows


def rates(study: Study) -> Table:
    """Return what share of the answers could be read, by experiment and task, in percent."""
    rows: list[list[str]] = []
    for experiment in study.experiments:
        for task in TASKS:
            if answers := study.answers(experiment, [task]):
                file = IN_RUN.predictions(experiment.name)
                number = counted(len(answers), pointer(file, "task"), f"how many are {task}")
                cells = [number, *_shares(study, experiment, task), _cut_off(file, task, answers)]
                rows.append([experiment.name, TASKS[task].title, *cells])
    headings = ["Experiment", "Task", "Answers", "As asked, %", "Interval", "Readable, %"]
    return [*headings, "Interval", "Cut off, %"], rows


def _cut_off(file: str, task: str, answers: list[Record]) -> str:
    """Return the share of answers that the limit on tokens cut off."""
    if not all("finished" in row for row in answers):
        return "–"
    share = sum(not row["finished"] for row in answers) / len(answers)
    return Cited(percent(share), share, pointer(file, "finished"), f"share of {task} that is not")


def _shares(study: Study, experiment: Experiment, task: str) -> Iterable[str]:
    """Yield the share that is as it was asked for, and that can be read at all, with intervals."""
    for name in ("parse_strict", "parse_lenient"):
        score = study.score(PROTOCOL, task, name, experiment)
        if score is None:
            yield from ("–", "–")
            continue
        yield Markup("▼ {}" if score.value < LOW else "{}").format(score.cited())
        yield span(score.cited("low"), score.cited("high")) if score.bounded else "–"


def probes(study: Study) -> tuple[list[str], Table]:
    """Return what pays too much, as ``reward of experiment: answer``, and what is paid to probes.

    Shares are of what the true answers earn, in percent; a reward that the experiment is not
    trained by is left out.
    """
    flagged, rows = [], []
    for e in study.experiments:
        probe = study.probes[e.name]
        trained_by = {*map(suites.label, study.settings(e).get("training", {}).get("rewards", {}))}
        for i, earned in enumerate(probe.get("probes", [])):
            if earned["reward"] not in trained_by:
                continue
            cited = partial(cite, IN_RUN.probe(e.name), probe, "probes", i)
            names = [e.name, earned["reward"], TASKS[earned["task"]].title, earned["probe"]]
            excess = span(*(cited(end, write=points) for end in ("low", "high")))
            numbers = [cited("share", write=percent), cited("most", write=percent)]
            verdict = "▲ too much" if earned["pays_too_much"] else "○"
            rows.append([*names, *numbers, excess, verdict])
            if earned["pays_too_much"]:
                flagged.append(f"{earned['reward']} of {e.name}: {earned['probe']}")
    headings = ["Experiment", "Reward", "Task", "Answer", "Earns, %", "Deserves at most, %"]
    return flagged, ([*headings, "Excess, points", "Verdict"], rows)


def switches(study: Study, protocol: str) -> str:
    """Return the defects that a protocol of data preparation switches on."""
    chosen = defects.chosen(study.config["protocols"][protocol]["defects"])
    return ", ".join(sorted(chosen)) or "none"


def findings(protocol: str, audit: Record) -> Table:
    """Return what an audit measured, in percent."""
    file = IN_RUN.data.audit(protocol)
    headings = ["Defect", "What was measured", "Prompts", "Value, %", "Interval", "Chance, %", "n"]
    rows: list[list[str]] = []
    for i, finding in enumerate(audit["findings"]):
        cited = partial(cite, file, audit, "findings", i)
        value, low, high, chance = (
            cited(key, write=percent) for key in ("value", "low", "high", "chance")
        )
        interval = "–" if finding["low"] is None else span(low, high)
        measured = [finding["defect"], finding["measured"], finding["variant"] or "both"]
        numbers = [value, interval, chance if finding["chance"] else "–", cited("n", write=count)]
        rows.append([*measured, *numbers, VERDICTS[finding["verdict"]]])
    return [*headings, "Verdict"], rows


def hashes(study: Study) -> Table:
    """Return the DVC hash of every output that the report was made from.

    While the study is running there is none: files come and go.
    """
    listed = [] if study.missing else outputs.listed(study.folder)
    inputs = [name for name in listed if not name.endswith((".html", provenance.RECORD))]
    names = [name for name in inputs if name not in NOT_INPUTS]
    rows: list[list[str]] = [
        [
            name,
            counted(len(output.files), pointer(name), "files"),
            Cited(size(output.size), output.size, pointer(name), "bytes"),
            Cited(output.md5, output.md5, pointer(name), "DVC's hash"),
        ]
        for name, output in outputs.hashed(study.folder, names).items()
    ]
    return ["Output", "Files", "Size", "DVC hash (MD5)"], rows
