import base64
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter

import pytest
from report_run import BREAKOUT, SCRIPT, TEMPLATE, Run
from whole_run import fill

from legor1.report.page import TEMPLATES, environment


def test_nothing_runs_and_nothing_is_requested(full):
    page = full.page()
    counts = Counter(tag for tag, _ in page.elements)
    forbidden = "script img iframe object embed form base audio video foreignobject animate set"
    assert not set(counts) & set(forbidden.split())
    for tag, given in page.elements:
        assert not [name for name in given if name.startswith("on") or name == "style"], tag
        assert set(given) & {"src", "action", "srcset", "xlink:href", "ping"} == set()
    for target in page.all("href"):
        assert target.startswith(("#", "data:image/"))


def test_hostile_strings_are_shown_as_they_are(full):
    page = full.page()
    # As often as they stand in the fixture, or more: label, completion, prompt, reason, …
    assert page.text.count(SCRIPT) >= 12
    assert page.text.count(BREAKOUT) >= 6
    assert TEMPLATE in page.text
    assert "odd <script>alert(1)</script> 2" in page.text
    assert "Reward: <script>alert(1)</script>" in page.text
    ends = Counter(re.findall(r"</(svg|style|html)", page.source))
    starts = Counter(tag for tag, _ in page.elements)
    assert all(ends[tag] == starts[tag] for tag in ("svg", "style", "html"))


def test_the_policy_allows_this_style_and_nothing_else(full):
    page = full.page()
    policy = next(
        given["content"]
        for _, given in page.elements
        if given.get("http-equiv") == "Content-Security-Policy"
    )
    style = re.search(r"<style>(.*?)</style>", page.source, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ")[:3] == [
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{digest}'",
    ]
    assert "url(" not in style and "@import" not in style


def test_templates_escape_whatever_their_name():
    assert environment().autoescape is True
    for template in TEMPLATES.glob("*.j2"):
        assert not re.search(r"\|\s*safe|autoescape", template.read_text()), template
    with pytest.raises(Exception, match="absent"):
        environment().from_string("{{ absent }}").render()


def test_ids_are_unique_and_what_is_referred_to_exists(full):
    page = full.page()
    ids = Counter(page.all("id"))
    assert max(ids.values()) == 1
    referred = page.all("aria-labelledby") + page.all("aria-describedby")
    referred += [target[1:] for target in page.all("href") if target.startswith("#")]
    assert referred and set(referred) <= set(ids)
    for tag, given in page.elements:
        if tag == "svg":
            assert given.get("role") == "img" or given.get("aria-hidden") == "true"


def test_an_image_is_embedded_once_and_reused(full):
    page = full.page()
    images = [given for tag, given in page.elements if tag == "image"]
    uses = [given for tag, given in page.elements if tag == "use"]
    # a.png: once in the object example (used by two more experiments), once in each other task.
    assert len(images) == 3 and len(uses) == 2
    assert all(given["href"].startswith("data:image/jpeg;base64,") for given in images)
    # The example whose image has a hostile name, and its demonstration's.
    assert page.text.count("image not available") == 3 + 1


def test_same_run_same_report(full):
    assert full.page().source == full.page().source


def test_a_run_of_only_config_and_table_says_what_is_missing(run):
    text = run.page().text
    for said in (
        "There are no predictions to show.",
        "No training history of this experiment was found.",
        "No split was found.",
        "No row of the dataset was set aside.",
        "No versions were recorded.",
        "No record says how the results were made.",
    ):
        assert said in text
    assert "not recorded" in text


def test_home_folders_are_not_named(run):
    run.configure(dataset={"source": "directory", "directory": "/home/ada/arta"})
    run.record("table.csv", "table")
    page = run.page()
    assert "/ada" not in page.source and "secret" not in page.source  # which is the host's name
    assert '"~/arta"' in page.text


def test_a_lone_surrogate_does_not_stop_the_report(run):
    text = json.dumps(run.config | {"report": {"title": "half \ud83d", "gallery": 1}})
    (run.folder / "config.json").write_text(text)
    assert "half \ufffd" in run.page().text


def test_a_real_study_is_not_called_a_demonstration(run):
    run.configure(
        dataset={"source": "huggingface", "huggingface": {"repo": "o/d", "revision": "main"}},
        base={"source": "huggingface", "huggingface": {"repo": "o/Big-VL", "revision": "main"}},
        device="cuda",
    )
    text = run.page().text
    assert "A demonstration" not in text and "The real LEGO-ARTA" not in text
    assert "How well does o/Big-VL find and name the parts" in text
    assert "A GPU" not in text


def test_a_report_with_its_gallery_needs_no_model_code(tmp_path):
    run = fill(Run(tmp_path))
    blocked = "import sys; sys.modules |= dict.fromkeys(['torch', 'transformers', 'qwen_vl_utils'])"
    code = f"{blocked}; from pathlib import Path; from legor1.report.page import render;"
    code += "run = Path(sys.argv[1]); render(run, run / 'r.html', gallery=run / 'g.html')"
    subprocess.run([sys.executable, "-c", code, str(run.folder)], check=True)
    assert "<svg" in (run.folder / "g.html").read_text()
