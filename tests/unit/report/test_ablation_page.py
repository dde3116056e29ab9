"""The page of an ablation: what it says, that it adds up, and that nothing in it can do harm."""

import base64
import copy
import hashlib
import html
import re
from pathlib import Path

import ablation_run
import pytest

from legor1.core.errors import UserError
from legor1.core.files import read_json, write_json
from legor1.core.layout import RunLayout
from legor1.evaluation.ablation_effects import write_effects
from legor1.evaluation.scoring import Bootstrap
from legor1.report.page import render_ablation
from legor1.report.sections import ablation_view
from legor1.tasks.discovery import metric

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    ablation_run.answered(folder, ablation_run.config())
    layout = RunLayout(folder)
    few = Bootstrap(replicates=200)
    write_effects(folder, layout.ablation_effects, layout.ablation_table, few)
    return layout


@pytest.fixture(scope="module")
def content(run):
    return read_json(run.ablation_effects)


@pytest.fixture(scope="module")
def page(run):
    render_ablation(Path(run.ablation_effects), Path(run.ablation_page))
    return Path(run.ablation_page).read_text()


def text(markup):
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", markup)).split())


def test_the_answer_is_made_from_the_numbers(page):
    (found,) = re.findall(r'<div class="found">(.*?)</div>', page, re.S)
    said = [text(sentence) for sentence in re.findall("<p>(.*?)</p>", found, re.S)]
    boxes = next(one for one in said if one.startswith("Of sft’s −50.0 points of Mean IoU"))
    assert "from 50.0 without a defect to 0.0 with all" in boxes
    assert "frame_mismatch gives −50.0 (−50.0 to −50.0) on alone, −100.0 (" in boxes
    assert "summed_iou gives +50.0 (+50.0 to +50.0) on alone" in boxes
    state = next(one for one in said if "F1-state" in one and "few_shot" in one)
    assert state.endswith("no defect that was tried moves it clearly by itself.")


@pytest.mark.parametrize(
    ("task", "name", "printed"), [("object", "iou", 14.16), ("state", "f1_state", 100)]
)
def test_the_steps_from_sound_to_published_add_up(content, task, name, printed):
    steps = ablation_view.waterfall(content, "sft", metric(task, name))
    assert steps[0].label == "no defect" and steps[-1].label == "as published"
    changes = [step.change.value for step in steps if step.change is not None]
    assert steps[0].reached.value + sum(changes) == pytest.approx(printed / 100)
    reached = [step.reached.value for step in steps]
    for before, step in zip(reached, steps[1:], strict=False):
        moved = step.change.value if step.change is not None else 0
        assert step.reached.value == pytest.approx(before + moved)


def test_every_number_is_the_one_at_its_source(content, page):
    cited = re.findall(r'<data value="([^"]*)" data-source="ablation.json#([^" ]*)">', page)
    assert len(cited) > 300
    for value, pointer in cited:
        found = content
        for key in pointer.strip("/").split("/"):
            found = found[int(key)] if isinstance(found, list) else found[key]
        assert float(value) == found if found is not None else value == "None", pointer


def test_figures_have_a_row_a_defect_with_both_marks_a_band_and_the_published_gap(content, page):
    panels = {one.shown.name: one for one in ablation_view.panels(content, "sft")}
    first, marks = next(iter(panels["iou"].rows.items()))
    assert (first, [mark.off for mark in marks]) == ("frame_mismatch", [False, True])
    assert panels["iou"].gap.value == pytest.approx(0.1416 - 0.6082)
    assert panels["f1_state"].noise.value > 0
    assert all(panel.gap is None for panel in ablation_view.panels(content, "few_shot"))
    for part in ('class="ring e2"', 'class="mark e1"', 'class="noise"', 'class="floor"'):
        assert page.count(part) > 1


def test_what_is_inert_is_there_with_its_reason(content, page):
    rows = ablation_view.inert(content)
    assert ["two_generations", "sft", "on alone and off alone", "it concerns GRPO alone"] in rows
    assert text(page).count("it concerns GRPO alone") == 2  # of both experiments
    assert "[row_split, test_demos_in_training]" in text(page)


def test_it_is_one_file_that_asks_for_nothing_and_can_be_read_aloud(page):
    assert not re.search(r"<(script|img|iframe|link|object|form)\b", page)
    assert not re.search(r"\b(src|action|style|on\w+)=", page)
    style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src &#39;sha256-{digest}&#39;" in page or f"'sha256-{digest}'" in page
    idents = re.findall(r'\bid="([^"]+)"', page)
    assert len(idents) == len(set(idents))
    referred = re.findall(r'aria-(?:labelledby|describedby)="([^"]+)"', page)
    assert set(referred) <= set(idents)
    for drawing in re.findall(r"<svg[^>]*>", page):
        assert 'role="img"' in drawing or 'aria-hidden="true"' in drawing


def test_hostile_names_are_shown_as_they_are(content, tmp_path):
    hostile = copy.deepcopy(content)
    for one in hostile["effects"]:
        one["defect"], one["of"] = one["defect"] + HOSTILE, one["of"] + HOSTILE
        one["inert"] = one["inert"] and HOSTILE
    for one in hostile["variants"].values():
        one["of"] += HOSTILE
    write_json(tmp_path / "ablation.json", hostile)
    render_ablation(tmp_path / "ablation.json", tmp_path / "ablation.html")
    page = (tmp_path / "ablation.html").read_text()
    assert "<script" not in page
    assert page.count(html.escape(HOSTILE)) > 20


def test_another_file_is_an_error_with_a_remedy(tmp_path):
    write_json(tmp_path / "other.json", {})
    with pytest.raises(UserError, match="holds no effects of defects"):
        render_ablation(tmp_path / "other.json", tmp_path / "page.html")
