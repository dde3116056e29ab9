"""A run's folder → one HTML file that needs no network, no script and no other file."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from legor1.core import provenance
from legor1.core.errors import UserError
from legor1.core.files import read_json, read_jsonl, write_text
from legor1.core.layout import IN_RUN
from legor1.report import provenance_graph, publishable, table_export
from legor1.report.citation import Cited, cite
from legor1.report.gallery import gallery_page
from legor1.report.gallery.gallery_page import link
from legor1.report.publishable import TEMPLATES
from legor1.report.sections import (
    ablation_view,
    answer_figures,
    costs,
    overview,
    provenance_view,
    result_tables,
    training_curves,
)
from legor1.report.study import Experiment, Study, Training, read
from legor1.tasks.discovery import TASKS

SECTIONS = (  # whose functions the templates call
    ablation_view, answer_figures, costs, overview, provenance, provenance_graph,
    provenance_view, result_tables, training_curves,
)  # fmt: skip

INTERVAL = re.compile("^▼ <data |</data>(?: to <data| <small>)")

Context = dict[str, object]  # the names in a template


def render(
    run_dir: Path, out: Path, tables_dir: Path | None = None, gallery: Path | None = None
) -> None:
    """Write the report of the run in ``run_dir`` to ``out``, the results table into ``tables_dir``.

    The report of an unfinished study shows what there is, and says what is missing. ``gallery`` is
    the page of all chosen examples, with the images in their own size beside it. A UserError says
    what is damaged, or that it is not known what the run is to be.
    """
    study = read(Path(run_dir))
    chosen = gallery_page.gather(study, gallery)
    named = {
        "study": study,
        "protocol": study.protocols[0],
        "config": json.dumps(study.config, indent=2, ensure_ascii=False),
        "gallery": chosen,
        "gallery_page": gallery and link(gallery, out),
        "images": gallery and link(gallery_page.images_of(gallery), out),
    }
    _write("report.html.j2", _page(study) | named, out)
    if gallery:
        shown = {
            "gallery": chosen,
            "experiments": [e for e in study.experiments if chosen.counts["by", str(e.index)]],
            "images": link(gallery_page.images_of(gallery), gallery),
            "report": link(out, gallery),
        }
        style = environment().get_template("gallery.css.j2").render(shown)
        script = (TEMPLATES / "gallery.js").read_text(encoding="utf-8")
        _write("gallery.html.j2", _page(study, style, script) | shown, gallery)
    if tables_dir:
        table_export.write(study, tables_dir)


def render_rewards(trainings: Mapping[str, Path], out: Path) -> None:
    """Write a page with the reward curves of trainings, side by side: the thesis's Figure 1.

    A UserError if there are fewer than two trainings, or one of them logged no reward.
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
    group = [experiment for experiment, _ in drawn]
    _write("figure1.html.j2", _style() | {"figure": figure, "group": group}, out)


def render_ablation(effects: Path, out: Path) -> None:
    """Write the page of an ablation from its ``ablation.json``; a UserError if that is none."""
    content = read_json(effects)
    if not isinstance(content, dict) or "effects" not in content:
        raise UserError(
            f"{effects} holds no effects of defects. "
            "Remedy: make it with `legor1 ablation-measure`."
        )
    style = (TEMPLATES / "ablation.css").read_text(encoding="utf-8")
    given = {"ablation": content, "cited": partial(cite, IN_RUN.ablation_effects, content)}
    _write("ablation.html.j2", _style(style) | given, out)


def _write(template: str, context: Context, out: Path) -> None:
    write_text(out, publishable.publishable(environment().get_template(template).render(context)))


def environment() -> Environment:
    """Return Jinja's environment for the pages."""
    made = publishable.environment()
    made.tests["numeric"] = _numeric
    made.globals |= {module.__name__.rpartition(".")[2]: module for module in SECTIONS}
    titles = {name: task.title for name, task in TASKS.items()}
    made.globals |= {"partial": partial, "tasks": titles}
    made.globals |= {"reasons": gallery_page.REASONS, "marks": gallery_page.MARKS}
    return made


def _numeric(cell: str) -> bool:
    """Tell whether a cell of a table holds a number, by how it was made and not by what it says."""
    if isinstance(cell, Cited):
        return isinstance(cell.value, int | float)
    return cell == "–" or (isinstance(cell, Markup) and bool(INTERVAL.search(cell)))


def _page(study: Study, more: str = "", script: str = "") -> Context:
    """Return what stands at a page's head and foot, its style, with ``more``, and its script."""
    return _style(more, script) | {
        "title": study.config["report"]["title"],
        "run": study.config["run"],
        "seed": cite(study.config_file, study.config, "seed"),
        "commit": provenance_view.own_commit(study),
    }


def _style(more: str = "", script: str = "") -> Context:
    """Return a page's style, with ``more``, its script, and a policy that allows nothing else."""

    def allowed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    style = (TEMPLATES / "style.css").read_text(encoding="utf-8") + more
    scripts = f"script-src {allowed(script)}; " if script else ""
    return {
        "style": Markup(style),
        "script": Markup(script),
        "policy": f"default-src 'none'; img-src data:; style-src {allowed(style)}; {scripts}"
        "base-uri 'none'; form-action 'none'",
    }
