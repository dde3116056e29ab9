"""The gallery's page: its filters, its links, and the images beside it."""

import base64
import hashlib
import re
from collections import Counter

import pytest
from PIL import Image
from reading_back import faults
from report_run import BREAKOUT, SCRIPT, TEMPLATE, Page, conversation, row

from legor1.core.errors import UserError
from legor1.core.files import write_jsonl
from legor1.report.gallery.gallery_page import gather
from legor1.report.page import TEMPLATES, render
from legor1.report.study import read


def policy_of(page: Page) -> str:
    return next(given["content"] for _, given in page.elements if given.get("http-equiv"))


def test_nothing_runs_nothing_is_requested_and_nothing_hostile_is_a_link(full):
    page = full.gallery()
    tags = Counter(tag for tag, _ in page.elements)
    forbidden = "img iframe object embed base audio video"
    assert not set(tags) & set(forbidden.split())
    assert tags["script"] == 1 and "'unsafe" not in policy_of(page)
    script = re.search(r"<script>(.*?)</script>", page.source, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy_of(page)  # the page's own, and no other
    assert script == (TEMPLATES / "gallery.js").read_text()  # nothing of the study is in it
    assert "form-action 'none'" in policy_of(page) and "default-src 'none'" in policy_of(page)
    for tag, given in page.elements:
        assert not [name for name in given if name.startswith("on") or name == "style"], tag
        assert set(given) & {"src", "action", "srcset", "xlink:href", "ping", "formaction"} == set()
    links = [one for one in page.all("href") if not one.startswith(("#", "data:image/"))]
    assert set(links) <= {"report.html"}  # the fixture's images are too small to lie beside it
    assert SCRIPT in page.text and BREAKOUT in page.text and TEMPLATE in page.text
    ends = Counter(re.findall(r"</(svg|style|html)", page.source))
    assert all(ends[tag] == tags[tag] for tag in ("svg", "style", "html"))


def test_ids_are_unique_and_every_label_and_rule_has_its_input(full):
    page = full.gallery()
    ids = Counter(page.all("id"))
    assert max(ids.values()) == 1
    inputs = {given["id"]: given for tag, given in page.elements if tag == "input"}
    read_by_style = set(re.findall(r"#([\w-]+):checked", page.source))
    assert read_by_style | {f"{name}-all" for name in ("task", "reason", "mark")} == set(inputs)
    assert {name for name, given in inputs.items() if "checked" in given} == {
        "task-all", "reason-all", "mark-all", "by-0", "by-1", "by-2",
    }  # fmt: skip
    assert Counter(tag for tag, _ in page.elements)["legend"] == 4


def test_thinking_is_folded_and_the_answer_is_not(full):
    source = full.gallery().source
    folded = re.findall(r'<details class="thinking">.*?</details>', source, re.S)
    assert len(folded) == 3 and all("&lt;script&gt;" in one for one in folded)
    assert not any("7 * 7" in one for one in folded)


def test_every_number_is_read_back_and_a_wrong_count_is_found(full):
    page = full.gallery().source
    assert [one for one in faults(full.folder, page) if not one.startswith("no source")] == []
    counted = re.search(r'<data value="(\d+)" data-source="gallery.html#/reason/lot"', page)
    assert counted[1] == "4"
    wrong = page.replace(counted[0], counted[0].replace("4", "3", 1))
    assert any("gallery.html#/reason/lot" in one for one in faults(full.folder, wrong))
    report = (full.folder / "report.html").read_text()
    assert "gallery.html#/all" in report
    assert [one for one in faults(full.folder, report) if not one.startswith("no source")] == []


def test_the_report_has_the_first_of_each_reason_and_the_gallery_all(run):
    rows = [row(f"object/m/{i}") for i in range(30)]
    run.predict("sft", *rows, iou=[i / 30 for i in range(30)])
    page = run.gallery()
    report = Page((run.folder / "report.html").read_text())
    assert page.all("data-reason").count("best") >= 3
    reasons = " ".join(report.all("data-reason")).split()
    assert len(report.all("data-reason")) <= 3 and {*reasons} == {"best", "worst", "lot"}
    assert "gallery.html" in report.all("href") and "gallery.html" not in run.page().all("href")


def test_large_images_lie_beside_the_page_and_are_named_by_their_content(run):
    run.image("a.png", (2000, 1500))
    run.predict("sft", row("object/../../" + BREAKOUT), row("object/b"))
    folder = run.folder / "gallery_images"
    folder.mkdir()
    (folder / "0123456789abcdef.jpg").write_text("of an earlier report")
    page = run.gallery()
    (image,) = folder.iterdir()  # one image, twice shown
    assert re.fullmatch(r"[0-9a-f]{16}\.jpg", image.name)
    with Image.open(image) as large:
        assert large.size == (1600, 1200) and not large.getexif()
    assert page.all("href").count(f"gallery_images/{image.name}") == 2
    assert policy_of(page).count("img-src data:;") == 1  # they are linked, not loaded


def test_a_folder_of_something_else_is_left_alone(run):
    run.predict("sft", row())
    folder = run.folder / "gallery_images"
    folder.mkdir()
    (folder / "mine.jpg").write_text("precious")
    with pytest.raises(UserError, match="something else"):
        run.gallery()
    assert (folder / "mine.jpg").read_text() == "precious"


def test_pages_find_one_another_across_folders(run):
    run.predict("sft", row())
    page = run.folder / "a b" / "page.html"
    render(run.folder, run.folder / "out" / "report.html", gallery=page)
    assert "../out/report.html" in Page(page.read_text()).all("href")
    report = Page((run.folder / "out" / "report.html").read_text())
    assert "../a%20b/page.html" in report.all("href")


def test_a_run_without_predictions_has_an_empty_gallery(run):
    page = run.gallery()
    assert "There are no predictions to show." in page.text
    assert not [tag for tag, _ in page.elements if tag in ("input", "form")]
    assert not (run.folder / "gallery_images").exists()  # DVC would keep no empty folder


def test_same_run_same_page(full):
    assert full.gallery().source == full.gallery().source


def test_all_of_the_few_are_among_all(full):
    found = gather(read(full.folder), None)
    assert found.few == found.every  # without a page, no more is made ready than is shown


def test_a_card_says_what_was_asked_without_the_directive(run):
    asked = conversation("state/m/1", "state", prompt="Is it done? Just tell me Yes or No.")
    run.predict("sft", row("state/m/1", "state", prediction="Yes.", reference="No."))
    write_jsonl(run.folder / "data/sound/plain/test.jsonl", [asked])
    assert "Question Is it done? True answer No." in run.gallery().text
    (example,) = gather(read(run.folder), None).few["state"]
    assert example.question == "Is it done?"


def test_the_reports_first_example_is_the_one_at_random(run):
    rows = [row(f"object/m/{i}") for i in range(30)]
    run.predict("sft", *rows, iou=[i / 30 for i in range(30)])
    few = gather(read(run.folder), None).few["object"]
    assert "lot" in few[0].reasons and len({example.anchor for example in few}) == len(few)
