"""The figures that are made of predictions: fates of boxes, parts, confusions; and the cost."""

import json
import re

import pandas as pd
import pytest
from report_run import BOXES, row

from legor1.core.files import write_json
from legor1.evaluation.scoring import Bootstrap, score
from legor1.report.sections import answer_figures, costs
from legor1.report.study import read


def boxes(*corners: tuple[float, float, float, float]) -> str:
    return json.dumps([{"bbox_2d": list(box), "label": "brick"} for box in corners])


# True boxes of a fiftieth and of a quarter of an image of 400 × 300 pixels.
SMALL, LARGE = (0, 0, 40, 60), (100, 100, 300, 250)
HALF = (0, 0, 40, 30)  # of SMALL: an IoU of 0.5


def test_each_true_box_has_one_fate():
    other = json.dumps([{"bbox_2d": list(LARGE), "label": "plate"}])
    assert answer_figures.fates([row(prediction=boxes(SMALL), reference=boxes(SMALL))]) == {
        "right": 1, "missed": 0, "extra": 0,
    }  # fmt: skip
    rows = [
        row(prediction=other, reference=boxes(LARGE, SMALL)),  # misnamed, and one missed
        row(prediction=boxes((0, 0, 40, 20), LARGE), reference=boxes(SMALL)),  # a third of it
        row(prediction="[{", reference=boxes(SMALL, LARGE)),
    ]
    numbers = answer_figures.fates(rows)
    assert {fate: numbers[fate] for fate in (*answer_figures.FATES, "extra")} == {
        "right": 0, "misnamed": 1, "misplaced": 1, "missed": 1, "unreadable": 2, "extra": 1,
    }  # fmt: skip


def test_right_boxes_are_those_of_the_main_metric():
    rows = [
        row("object/m/1", prediction=boxes(HALF, LARGE), reference=boxes(SMALL, LARGE)),
        row("object/m/2", prediction=boxes(HALF, SMALL), reference=boxes(LARGE)),
    ]
    scores, _ = score(rows, settings=Bootstrap(10))
    right = answer_figures.fates(rows)["right"]
    assert 2 * right / (4 + 3) == scores["tasks"]["object"]["f1_50_labelled"] > 0


def test_the_fates_are_drawn_for_every_experiment_and_their_shares_are_whole(run):
    run.predict("few_shot", row("object/m/1", prediction="[{", reference=boxes(SMALL)))
    answer = row(
        "object/m/1", prediction=boxes(SMALL, LARGE), reference=boxes(SMALL, (0, 90, 9, 99))
    )
    run.predict("sft", answer)
    figure = answer_figures.failures(read(run.folder))
    assert figure.headings[1:] == [
        "right, %", "misnamed, %", "misplaced, %", "missed, %", "unreadable, %", "extra, %",
        "True boxes",
    ]  # fmt: skip
    assert figure.rows == [
        ["few_shot", "0.0", "0.0", "0.0", "0.0", "100.0", "0.0", "1"],
        ["sft", "50.0", "0.0", "0.0", "50.0", "0.0", "50.0", "2"],
    ]
    ((_, _, picture),) = figure.panels
    drawn = re.findall(r'<rect [^>]*width="([\d.]+)" height="17"', picture)
    assert [float(x) for x in drawn] == [0, 0, 0, 0, 324, 162, 0, 0, 162, 0]


def scored(run, name: str, *examples: tuple[int, int, int, int]) -> None:
    """Write examples: (true boxes, predicted ones, hits, hits with the right label)."""
    names = ("true_boxes", "predicted_boxes", "matched_50", "matched_50_labelled")
    frame = pd.DataFrame([dict(zip(names, map(float, one), strict=True)) for one in examples])
    frame["instance_id"] = [f"object/m/{i}" for i in range(len(frame))]
    target = run.folder / f"scores/{name}/sound/per_example.parquet"
    target.parent.mkdir(parents=True)
    frame.to_parquet(target)


def test_f1_by_the_number_of_parts_has_both_kinds_on_the_same_axes(run):
    scored(run, "sft", (1, 1, 1, 1), (1, 1, 1, 0), (3, 5, 2, 1), (9, 9, 9, 0), (6, 6, 0, 0))
    scored(run, "grpo", (1, 1, 0, 0))
    figure = answer_figures.by_parts(read(run.folder))
    assert figure.headings == [
        "Parts", "sft, box and label", "sft, box alone", "grpo, box and label", "grpo, box alone",
    ]  # fmt: skip
    assert figure.rows == [
        ["1", "50.0", "100.0", "0.0", "0.0"],
        ["3", "25.0", "50.0", "–", "–"],
        ["6 or more", "0.0", "60.0", "–", "–"],
    ]
    pictures = [picture for _, _, picture in figure.panels]
    axes = [re.findall(r'class="tick[^"]*">([^<]+)<', picture) for picture in pictures]
    assert axes[0] == axes[1] and "parts in an image" in axes[0]


@pytest.mark.parametrize("answers", [[], [row("grounding/m/1", "grounding", prediction="x")]])
def test_without_boxes_there_is_no_figure_of_them(run, answers):
    if answers:
        run.predict("sft", *answers, iou=[float("nan")])
    assert answer_figures.figures(read(run.folder)) == {}


def test_confusions_count_unreadable_answers_apart(run):
    def answer(number: int, true: str, said: str) -> dict:
        return row(f"state/m/{number}", "state", reference=true, prediction=said)

    run.predict(
        "sft",
        answer(1, "Yes.", "yes"),
        answer(2, "Yes.", "No."),
        answer(3, "No.", "Perhaps."),
        answer(4, "No.", "Yes."),
        answer(5, "No.", "no"),
    )
    figure = answer_figures.confusions(read(run.folder))
    assert figure.headings[2:] == ["said Yes", "said No", "unreadable"]
    assert figure.rows == [["sft", "Yes", "1", "1", "0"], ["sft", "No", "1", "1", "1"]]
    ((_, _, picture),) = figure.panels
    assert re.findall(r'fill-opacity="([\d.]+)"', picture) == ["0.23", "0.23", "0"] + ["0.15"] * 3


def test_cost_adds_the_time_of_shards_and_takes_the_greatest_memory(run):
    for shard, seconds, mib in ((0, 60, 900), (1, 65, 700)):
        facts = {"wall_seconds": seconds, "peak_memory_mib": mib}
        run.record(f"predictions/sft/shards/{shard}.jsonl", "predict", **facts)
    training = {"seconds": 3720, "peak_memory_mib": 2048.4}
    write_json(run.folder / "adapters/sft/run.json", training)
    _, rows = costs.table(read(run.folder))
    assert [[row[1], row[3], row[5]] for row in rows[:2]] == [
        ["training", "1 h 02 min", "2,048 MiB"],
        ["prediction", "2 min 05 s", "900 MiB"],
    ]


def test_boxes_of_the_fixture_are_right():
    assert answer_figures.fates([row(prediction=BOXES, reference=BOXES)])["right"] == 1
