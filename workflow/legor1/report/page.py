"""A run's folder → one HTML file that needs no network, no script and no other file."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from legor1.core.errors import UserError
from legor1.core.files import read_jsonl, write_text
from legor1.core.format import count
from legor1.core.layout import IN_RUN
from legor1.report import svg, table_export
from legor1.report.citation import cite
from legor1.report.figures import (
    box_overlap,
    confusion,
    frame_check,
    interval_plots,
    stage_graph,
    training_curves,
)
from legor1.report.gallery import gallery_page
from legor1.report.gallery.selection import REASONS
from legor1.report.publishable import publishable
from legor1.report.sections import (
    costs,
    defect_list,
    overview,
    provenance_view,
    result_tables,
    summary,
    trust,
    unfinished,
)
from legor1.report.study import Experiment, Study, Training
from legor1.tasks.discovery import METRICS, TASKS

TEMPLATES = Path(__file__).parents[2] / "report"


def render(
    run_dir: Path, out: Path, tables_dir: Path | None = None, gallery: Path | None = None
) -> None:
    """Write the report of the run in ``run_dir`` to ``out``, the results table into ``tables_dir``.

    The report of an unfinished study shows what there is, and says what is missing. ``gallery`` is
    the page of all chosen examples, with the images in their own size beside it.

    Raises:
        UserError: it is not known what the run is to be, or a file of it is damaged.
    """
    study = unfinished.read(Path(run_dir))
    shown = gallery_page.gather(study, gallery)
    _write("report.html.j2", context(study) | _few(shown, gallery, out), out)
    if gallery:
        _write("gallery.html.j2", _gallery(study, shown, gallery, out), gallery)
    if tables_dir:
        table_export.write(study, tables_dir)


def render_rewards(trainings: Mapping[str, Path], out: Path) -> None:
    """Write a page with the reward curves of trainings, side by side: the thesis's Figure 1.

    Raises:
        UserError: there are no two trainings, or one of them logged no reward.
    """
    if len(trainings) < 2:
        raise UserError(
            "there are no trainings that differ in their rewards alone. Remedy: add "
            "--configfile workflow/configs/figure1.yaml, or thesis_first.yaml."
        )
    drawn = []
    for index, (name, folder) in enumerate(trainings.items()):
        history = read_jsonl(folder / "history.jsonl", ["step"])
        if not training_curves.logged(history, "reward"):
            raise UserError(f"{folder} logged no reward. Remedy: name a GRPO training.")
        training = Training({}, history, IN_RUN.adapter(name))
        drawn.append((Experiment(index, name, "grpo"), training))
    figure = training_curves.rewards("rewards", drawn)
    shown = {"figure": figure, "group": [one for one, _ in drawn]}
    _write("figure1.html.j2", _style() | shown, out)


def _write(template: str, shown: Mapping[str, Any], out: Path) -> None:
    write_text(out, publishable(environment().get_template(template).render(shown)))


def environment() -> Environment:
    """Return Jinja's environment: all values escaped, undefined names are errors."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"badge": svg.badge, "colour": svg.colour}
    made.globals |= {
        "reasons": REASONS,
        "tasks": {name: task.title for name, task in TASKS.items()},
    }
    return made


def context(study: Study) -> dict[str, Any]:
    """Return what the template shows; its names are the template's."""
    protocol = study.protocols[0]
    return _page(study) | {
        "experiments": study.experiments,
        "baseline": study.baseline,
        "confidence": cite(
            study.config_file, study.config, "evaluation", "confidence", write=whole
        ),
        "question": summary.question(study),
        "answers": summary.answers(study, protocol),
        "demonstration": overview.is_demonstration(study),
        "missing": unfinished.missing(study),
        "results": [
            (one, found) for one in study.protocols if (found := result_tables.results(study, one))
        ],
        "thesis_note": overview.thesis_note(study),
        "thesis": [result_tables.ADAPTATIONS[row["adaptation"]] for row in result_tables.thesis()],
        "paper": result_tables.paper(),
        "interval_method": interval_method(study),
        "differences": trust.differences(study),
        "free_baselines": trust.free_baselines(study, protocol),
        "audits": trust.audits(study),
        "reading": trust.rates(study),
        "defects": defect_list.table(study),
        "hashes": trust.hashes(study),
        **_figures(study, protocol),
        **_facts(study),
        **_origins(study),
    }


def whole(fraction: float) -> str:
    """Return a fraction as whole percent, unbroken."""
    return f"{fraction:.0%}".replace("%", "\N{NO-BREAK SPACE}%")


def _figures(study: Study, protocol: str) -> dict[str, Any]:
    made = [*box_overlap.figures(study), frame_check.frames(study), confusion.confusions(study)]
    return {
        "headline": interval_plots.intervals(study, protocol, "headline", [METRICS[0]]),
        "intervals": interval_plots.intervals(study, protocol, "interval"),
        "figures": [figure for figure in made if figure.panels],
        "rewards": training_curves.reward_figures(study),
        "trainings": [(one, training_curves.curves(study, one)) for one in overview.trained(study)],
        "cost": costs.figure(study),
    }


def _facts(study: Study) -> dict[str, Any]:
    return {
        "not_run": overview.not_run(study),
        "costs": overview.costs(study),
        "recipes": overview.recipes(study),
        "data": overview.data(study),
        "counts": overview.counts(study),
        "quarantine": overview.quarantine(study),
        "base": overview.base(study),
        "config": json.dumps(study.config, indent=2, ensure_ascii=False),
    }


def _origins(study: Study) -> dict[str, Any]:
    return {
        "warnings": provenance_view.warnings(study),
        "graph": stage_graph.graph(study),
        "outputs": provenance_view.outputs(study),
        "machine": provenance_view.machine(study),
        "versions": provenance_view.versions(study),
        "command": provenance_view.command(study),
        "seeds": provenance_view.seeds(study),
    }


def _few(shown: gallery_page.Gallery, gallery: Path | None, out: Path) -> dict[str, Any]:
    """Return what the report shows of the gallery, and where the rest of it is."""
    return {
        "gallery": shown.few,
        "total": shown.total,
        "gallery_page": gallery and gallery_page.link(gallery, out),
        "images": gallery and gallery_page.link(gallery_page.images_of(gallery), out),
    }


def _gallery(study: Study, shown: gallery_page.Gallery, gallery: Path, out: Path) -> dict[str, Any]:
    """Return what the gallery's page shows; ``out`` is the report."""
    found = gallery_page.context(study, shown, gallery, out)
    style = environment().get_template("gallery.css.j2").render(found)
    return _page(study, style) | found


def _style(more: str = "") -> dict[str, Any]:
    """Return what a page needs: its style, with ``more``, and a policy that allows it alone."""
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8") + more
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "style": Markup(style),
        "policy": f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'",
    }


def _page(study: Study, more: str = "") -> dict[str, Any]:
    """Return what stands at a page's head and foot, and its style, with ``more``."""
    return _style(more) | {
        "title": study.config["report"]["title"],
        "run": study.config["run"],
        "seed": cite(study.config_file, study.config, "seed"),
        "commit": provenance_view.own_commit(study),
    }


def interval_method(study: Study) -> str:
    """Return how the intervals were made, in the words of ``scores.json``."""
    for name, scores in study.scoring.items():
        if method := scores.get("interval", {}).get("method"):
            kept = method.partition(";")[0]  # the rest tells the columns of scores.json apart
            file = IN_RUN.scores(name, study.protocols[0])
            drawn = cite(file, scores, "interval", "replicates", write=count)
            return Markup("<bdi>{}</bdi>, {} replicates").format(kept, drawn)
    return "bootstrap"
