"""A completion's thinking is told from its answer as the scoring tells them apart."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legor1.tasks.parsing import extract, split_thinking


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("Yes.", [(False, "Yes.")]),
        ("<think>a</think>Yes.", [(True, "<think>a</think>"), (False, "Yes.")]),
        ("<THINK>a", [(True, "<THINK>a")]),
        ("<think>a<answer>No.", [(True, "<think>a"), (False, "<answer>No.")]),
        ("a</think>b</think>No.", [(True, "a</think>b</think>"), (False, "No.")]),
        ("So <think>a</think> x", [(False, "So "), (True, "<think>a</think>"), (False, " x")]),
        ("<think>a</think></think>b", [(True, "<think>a</think></think>"), (False, "b")]),
    ],
)  # fmt: skip
def test_parts(text, found):
    assert split_thinking(text) == found


TOKENS = ("<think>", "</think>", "<THINK>", "<answer>", "</answer>", "Yes.", " ", "\n", "<")


@given(st.lists(st.sampled_from(TOKENS), max_size=12).map("".join))
def test_nothing_is_lost_and_the_answer_is_outside_of_the_thinking(text):
    found = split_thinking(text)
    assert "".join(part for _, part in found) == text
    assert all(part for _, part in found)
    rest = "".join(part for thinking, part in found if not thinking)
    tagged = re.search(r"<answer>(.*?)(?:</answer>|\Z)", rest, re.S)
    assert (tagged[1] if tagged else rest).strip() == extract(text)
