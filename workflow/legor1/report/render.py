"""A run's folder → one HTML file that needs no network, no script and no other file.

``legor1 report results/demo --out results/demo/report.html``
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from legor1.errors import UserError
from legor1.files import read_jsonl, write_text
from legor1.report import evidence, facts, figures, findings, gallery, svg, tables
from legor1.report.study import Experiment, Study, read

TEMPLATES = Path(__file__).parents[2] / "report"


def render(run_dir: Path, out: Path) -> None:
    """Write the report of the run in ``run_dir`` to ``out``.

    Raises:
        UserError: the run has no resolved config or no table yet, or a file of it is damaged.
    """
    _write("report.html.j2", context(read(Path(run_dir))), out)


def render_rewards(trainings: Mapping[str, Path], out: Path) -> None:
    """Write a page with the reward curves of trainings, side by side: the thesis's Figure 1.

    Args:
        trainings: experiment → its folder, with ``history.jsonl``.
        out: the page.

    Raises:
        UserError: there are no two trainings, or one of them logged no reward.
    """
    if len(trainings) < 2:
        raise UserError(
            "there are no trainings that differ in their rewards alone. Remedy: add "
            "--configfile workflow/configs/figure1.yaml, or thesis_first.yaml."
        )
    curves = []
    for index, (name, folder) in enumerate(trainings.items()):
        points = figures.logged(read_jsonl(folder / "history.jsonl", ["step"]), "reward")
        if not points:
            raise UserError(f"{folder} logged no reward. Remedy: name a GRPO training.")
        curves.append((Experiment(index, name, "grpo"), points))
    shown = {"figure": figures.rewards("rewards", curves), "group": [one for one, _ in curves]}
    _write("figure1.html.j2", _style() | shown, out)


def _write(template: str, shown: Mapping[str, Any], out: Path) -> None:
    text = environment().get_template(template).render(shown)
    # A lone surrogate, which JSON can carry, cannot be written as UTF-8.
    write_text(out, text.encode("utf-8", "replace").decode("utf-8"))


def environment() -> Environment:
    """Return Jinja's environment: all values escaped, undefined names are errors."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"percent": tables.percent, "span": figures.span, "badge": svg.badge}
    made.filters |= {"colour": svg.colour}
    return made


def context(study: Study) -> dict[str, Any]:
    """Return what the template shows; its names are the template's."""
    protocol, trained = study.protocols[0], facts.trained(study)
    return _page(study) | {
        "experiments": study.experiments,
        "confidence": f"{study.confidence:.0%}".replace("%", "\N{NO-BREAK SPACE}%"),
        "question": findings.question(study),
        "answers": findings.answers(study, protocol),
        "demonstration": facts.is_demonstration(study),
        "results": [(one, tables.results(study, one)) for one in study.protocols],
        "thesis_note": facts.thesis_note(study),
        "thesis": [tables.ADAPTATIONS[row["adaptation"]] for row in tables.thesis()],
        "paper": tables.paper(),
        "interval_method": interval_method(study),
        "headline": figures.intervals(study, protocol, "headline", [tables.metric("iou")]),
        "intervals": figures.intervals(study, protocol, "interval"),
        "rewards": figures.reward_figures(study),
        "trainings": [(one, figures.curves(study, one)) for one in trained],
        "gallery": gallery.groups(study),
        "differences": evidence.differences(study),
        "baseline": study.baseline,
        "free_baselines": evidence.free_baselines(study, protocol),
        "frames": evidence.frames(study),
        "audits": evidence.audits(study),
        "defects": evidence.defects(study),
        "hashes": evidence.hashes(study),
        "not_run": facts.not_run(study),
        "costs": facts.costs(study),
        "recipes": facts.recipes(study),
        "data": facts.data(study),
        "counts": facts.counts(study),
        "quarantine": facts.quarantine(study),
        "base": facts.base(study),
        "machine": facts.machine(study),
        "versions": facts.versions(study),
        "command": facts.command(study),
        "config": facts.config_text(study),
    }


def _style() -> dict[str, Any]:
    """Return what a page needs: its style, and a policy that allows this style alone."""
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return {
        "style": Markup(style),
        "policy": f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'",
    }


def _page(study: Study) -> dict[str, Any]:
    """Return what stands at the report's head and foot."""
    return _style() | {
        "title": study.config["report"]["title"],
        "run": study.config["run"],
        "seed": study.config["seed"],
        "commit": facts.commit(study.provenance),
    }


def interval_method(study: Study) -> str:
    """Return how the intervals were made, in the words of ``scores.json``."""
    for scores in study.scoring.values():
        if method := scores.get("interval", {}).get("method"):
            kept = method.partition(";")[0]  # the rest tells the columns of scores.json apart
            return f"{kept}, {scores['interval']['replicates']:,} replicates"
    return "bootstrap"
