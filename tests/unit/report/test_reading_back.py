"""The report's numbers, read back; and that a wrong one would be found."""

import math
import re

import pytest
from reading_back import Cited, Files, Report, faults, says

from legor1.core.format import duration, large, percent, points, short, size
from legor1.report.citation import cite


def test_what_is_cited_in_a_hostile_run_is_true(full):
    page = full.page()
    assert len(Report(page.source).cited) > 150
    wrong = [one for one in faults(full.folder, page.source) if not one.startswith("no source")]
    assert wrong == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<data value="0.45" ', '<data value="0.46" '),  # not the file's value
        (">45.0</data>", ">45.1</data>"),  # not what the value says
        ("table.csv#/sft/sound/object/iou/value", "table.csv#/grpo/sound/object/iou/value"),
        ("It shows that", "In 97.5 % it shows that"),  # a number without a source
    ],
)
def test_a_wrong_number_is_found(run, before, after):
    page = run.page().source
    assert faults(run.folder, page) == []
    assert before in page
    assert faults(run.folder, page.replace(before, after))


def test_a_source_that_is_not_there_is_an_error(run):
    files = Files(run.folder)
    with pytest.raises(KeyError):
        files.value(Cited("1", "1", "config.json#/no/such/key", ""))
    with pytest.raises(KeyError, match="by guessing"):
        files.value(Cited("1", "1", "config.json#", "by guessing"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (percent(0.45678), 0.45678),
        (points(-0.0312), -0.0312),
        (short(-0.000123456), -0.000123456),
        (short(123456.7), 123456.7),
        (large(1_634_567), 1_634_567),
        (duration(65.4), 65.4),
        (duration(3725), 3725),
        (size(123_456), 123_456),
        ("12,345", 12345),
        ("< 0.001", 0.0004),
        ("sha256 0123456789abcdef…", "0123456789abcdef0123"),
    ],
)
def test_what_a_text_says(text, value):
    assert says(text, value)
    if isinstance(value, str):
        assert not says(text, value[::-1])
    else:
        assert not says(text, 1.1 * value + math.copysign(0.01, value))


def test_a_cited_text_is_a_text_that_carries_its_source():
    made = cite("a.json", {"x/y": [{"<&": 0.5}]}, "x/y", 0, "<&", write=percent)
    assert made == "50.0" and made.source == "a.json#/x~1y/0/<&"
    assert made.__html__() == (
        '<data value="0.5" data-source="a.json#/x~1y/0/&lt;&amp;">50.0</data>'
    )


def test_no_drawing_holds_html(full):
    for drawing in re.findall(r"<svg.*?</svg>", full.page().source, re.S):
        assert "<data" not in drawing and "&lt;data" not in drawing
