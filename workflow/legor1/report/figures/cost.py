"""What each experiment cost: time, memory and energy of its training and of its predictions."""

from collections.abc import Sequence

from markupsafe import Markup

from legor1.report import costs
from legor1.report.cited import Cited
from legor1.report.figures.chart import Figure, Panel, bars
from legor1.report.study import Study

ABOUT = (
    "A training’s time is that of all its attempts, each up to the checkpoint that the next one "
    "went on from; of a prediction that was interrupted, the last attempt alone was timed. "
    "Starting up and loading are not counted for trainings. The energy is an estimate: {}. "
    "The processors beside a GPU are left out of it."
)


def figure(study: Study) -> Figure:
    """Return a panel each for the time, the memory and the energy of trainings and predictions."""
    known = costs.uses(study)
    owner = {name: one for one in study.experiments for name in (one.name, *study.repeats(one))}

    def panel(title: str, note: str, ident: str, values: Sequence[Cited | None]) -> list[Panel]:
        rows = [
            (owner[use.experiment], f"{use.experiment}, {use.stage}", float(one.value), str(one))
            for use, one in zip(known, values, strict=True)
            if one is not None
        ]
        return [(title, note, bars(ident, title, rows))] if rows else []

    greatest = "of the GPU where there is one, else resident"
    panels = [
        *panel("Time", "of the processes, wall clock", "cost-time", [one.seconds for one in known]),
        *panel("Peak memory", greatest, "cost-memory", [one.memory for one in known]),
        *panel("Energy", "an estimate, see above", "cost-energy", [one.energy for one in known]),
    ]
    about = Markup(ABOUT).format(Markup("<code>{}</code>").format(costs.assumptions()))
    if again := costs.resumed(study):
        about += Markup(" Taken up again from a checkpoint: {}.").format(", ".join(again))
    return Figure(panels, *costs.table(study), "What it cost", about)
