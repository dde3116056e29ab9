"""A stage depends on what it reads of a task, and on nothing else of it."""

import ast

import pytest

from legor1.core import code_digest
from legor1.core.code_digest import EVERYTHING, READ, behind

MODULE = """
from legor1.a import metric, unused
from legor1.b import words
LONG = 3
def measure(text):
    return metric(text, helper())
def helper():
    return LONG
@reward("toy")
def toy_reward(completion):
    return words(completion)
OTHER = 4
SCORING = Scoring(measure=measure)
TASK = Task(name="toy", prompt=Prompt("Count."), scoring=SCORING)
"""


def kept(*fields):
    return ast.unparse(behind(fields, ast.parse(MODULE)))


def test_a_field_brings_what_it_names_and_what_that_names():
    text = kept("scoring")
    for part in ("metric", "LONG = 3", "def measure", "def helper", "SCORING ="):
        assert part in text
    for part in ("toy_reward", "Count.", "OTHER", "legor1.b", "unused"):
        assert part not in text


def test_a_decorator_stands_for_its_functions():
    text = kept("reward")
    assert "def toy_reward" in text and "import words" in text
    assert "def measure" not in text and "Count." not in text


def test_a_field_that_a_task_leaves_out_brings_its_name_alone():
    assert ast.literal_eval(kept("summary")) == "toy"
    assert "Count." in kept(*EVERYTHING) and "OTHER" not in kept(*EVERYTHING)


@pytest.mark.parametrize("stage", READ)
def test_each_stage_reads_fields_of_stages_that_exist(stage):
    assert stage in code_digest.STAGES


def test_only_scoring_and_the_report_depend_on_metrics_that_no_reward_uses():
    metric = code_digest.PACKAGE / "tasks/metrics/box_frame.py"
    depend = {stage for stage in code_digest.STAGES if metric in code_digest.modules(stage)}
    # Answers from elsewhere are refused if their boxes are in another frame.
    assert depend == {"score", "report", "figure1", "ablation-page", "frame", "import-answers"}
    shared = code_digest.PACKAGE / "tasks/metrics/detection.py"
    depend = {stage for stage in code_digest.STAGES if shared in code_digest.modules(stage)}
    assert depend == {
        *("score", "compare", "report", "figure1", "probe-reward", "train grpo"),
        *("ablation-plan", "ablation-measure", "ablation-page"),
        *("build-base", "frame", "import-answers"),  # one scores, the others match boxes
    }
