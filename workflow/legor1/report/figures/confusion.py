"""What was said to right steps and to wrong ones: a confusion matrix an experiment."""

from collections import Counter

from markupsafe import Markup

from legor1.core.format import count
from legor1.core.layout import IN_RUN
from legor1.report import svg
from legor1.report.citation import Cited, pointer
from legor1.report.figures.chart import WIDTH, Figure
from legor1.report.study import Experiment, Study
from legor1.report.svg import tag
from legor1.tasks.discovery import of_kind
from legor1.tasks.parsing import extract, parse_state

WORDS = {True: "Yes", False: "No", None: "unreadable"}
SAID = ("said Yes", "said No", "unreadable")
LEFT, TOP, CELL = 76, 24, (84, 44)  # in units of a panel

Counts = Counter[tuple[bool | None, bool | None]]  # true, said


def confusions(study: Study) -> Figure:
    """Return one panel for each experiment that was asked for a yes or no."""
    panels, rows, asked = [], [], of_kind("yes_no")
    for one in study.experiments:
        answers = [r for r in study.predictions[one.name].values() if r["task"] in asked]
        counts: Counts = Counter(
            (parse_state(extract(row["reference"])), parse_state(row["prediction"]))
            for row in answers
        )
        if answers:
            panels.append((one.name, "answers, by what is true", _panel(one, counts)))
            for true in (True, False):
                cells = [_cited(one, counts, true, said) for said in WORDS]
                rows.append([one.name, WORDS[true], *cells])
    headings = ["Experiment", "True", *SAID]
    about = "Shaded by the share of the row. Unreadable answers count as wrong."
    return Figure(panels, headings, rows, "Right steps and wrong ones", about)


def _cited(one: Experiment, counts: Counts, true: bool, said: bool | None) -> Cited:
    n, where = counts[true, said], pointer(IN_RUN.predictions(one.name), "*")
    return Cited(count(n), n, where, f"state: true {WORDS[true]}, said {WORDS[said]}")


def _panel(one: Experiment, counts: Counts) -> Markup:
    width, height = CELL
    drawn = [
        tag("text", words, x=LEFT + width * (i + 0.5), y=TOP - 8, class_="tick middle")
        for i, words in enumerate(SAID)
    ]
    for j, true in enumerate((True, False)):
        y, total = TOP + height * j, sum(counts[true, said] for said in WORDS)
        drawn.append(tag("text", f"is {WORDS[true]}", x=LEFT - 8, y=y + 26, class_="label end"))
        for i, said in enumerate(WORDS):
            x, n = LEFT + width * i, counts[true, said]
            box = {"x": x + 1, "y": y + 1, "width": width - 2, "height": height - 2}
            shade = f"cell {svg.colour(one.index)}"
            drawn.append(tag("rect", **box, class_=shade, fill_opacity=0.45 * n / max(total, 1)))
            kind = "middle strong" if true is said else "middle"
            drawn.append(tag("text", count(n), x=x + width / 2, y=y + 27, class_=kind))
    said_all = "; ".join(
        f"is {WORDS[true]}, said {WORDS[said]}: {n}"
        for (true, said), n in sorted(counts.items(), key=str)
    )
    title = f"Confusion matrix of {one.name}"
    size = (WIDTH, TOP + 2 * height + 4)
    return svg.picture(f"confusion-{one.index}", size, title, said_all, *drawn, kind="chart")
