"""The figures that are made of predictions: overlaps, confusions, cost."""

import json
import re

import pytest
from report_run import BOXES, row

from legor1.core.files import write_json
from legor1.evaluation.scoring import score
from legor1.report.sections import answer_figures, costs
from legor1.report.study import read


def boxes(*corners: tuple[float, float, float, float]) -> str:
    return json.dumps([{"bbox_2d": list(box), "label": "brick"} for box in corners])


# True boxes of a fiftieth and of a quarter of an image of 400 × 300 pixels.
SMALL, LARGE = (0, 0, 40, 60), (100, 100, 300, 250)
HALF = (0, 0, 40, 30)  # of SMALL: an IoU of 0.5


def test_true_boxes_are_matched_as_the_metrics_do():
    rows = [
        row(prediction=boxes(LARGE, HALF), reference=boxes(SMALL, LARGE)),
        row(prediction="unreadable", reference=boxes(LARGE)),
    ]
    found = answer_figures.matched(rows)
    assert found.areas.tolist() == [0.02, 0.25, 0.25]
    assert found.ious.tolist() == [0.5, 1.0, 0.0]
    assert found.predicted == 2
    assert found.f1(0.5) == 2 * 2 / 5 and found.f1(0.55) == 2 * 1 / 5


def test_f1_at_a_half_is_the_tables_own():
    rows = [
        row("object/m/1", prediction=boxes(HALF, LARGE), reference=boxes(SMALL, LARGE)),
        row("object/m/2", prediction=boxes(HALF, SMALL), reference=boxes(LARGE)),
        row("object/m/3", prediction="[{", reference=boxes(SMALL)),
    ]
    scores, _ = score(rows, replicates=10)
    assert answer_figures.matched(rows).f1(0.5) == scores["tasks"]["object"]["f1_50"] > 0


def test_overlap_figures_have_every_experiment_and_their_data(run):
    few = row("object/m/1", prediction=boxes(HALF), reference=boxes(SMALL))
    run.predict("few_shot", few, few | {"instance_id": "object/m/2"}, iou=[0.0, 0.31])
    run.predict("sft", row("object/m/1", prediction=boxes(SMALL), reference=boxes(SMALL)), iou=[1])
    spread, thresholds, sizes = answer_figures.overlaps(read(run.folder))
    assert [name for name, *_ in spread.panels] == ["few_shot", "sft"]
    counts = {label: cells for label, *cells in spread.rows}
    assert counts["0"] == ["1", "0"] and counts["0.3 to 0.4"] == ["1", "0"]
    assert counts["0.9 to 1.0"] == ["0", "1"]
    assert [sum(map(int, column)) for column in zip(*counts.values(), strict=True)] == [2, 1]
    by = {label: cells for label, *cells in thresholds.rows}
    assert by["0.50"] == ["100.0", "100.0"] and by["0.55"] == ["0.0", "100.0"]
    assert sizes.rows == [["2.00 to 2.00", "50.0", "2", "100.0", "1"]]


def test_larger_boxes_lie_to_the_right(run):
    truth = boxes(SMALL, LARGE)
    run.predict("sft", row(prediction=boxes(HALF, LARGE), reference=truth))
    *_, sizes = answer_figures.overlaps(read(run.folder))
    means = [(size, mean) for size, mean, n in sizes.rows if n != "0"]
    assert [mean for _, mean in means] == ["50.0", "100.0"]
    assert means[0][0].startswith("2.00") and means[1][0].endswith("25.00")
    ((_, _, picture),) = sizes.panels
    (line,) = re.findall(r'<polyline points="([^"]*)"', picture)
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in line.split())
    assert x1 < x2 and y1 > y2  # up is less in SVG


@pytest.mark.parametrize("answers", [[], [row("grounding/m/1", "grounding", prediction="x")]])
def test_without_boxes_there_is_no_figure_of_them(run, answers):
    if answers:
        run.predict("sft", *answers, iou=[float("nan")])
    assert answer_figures.overlaps(read(run.folder)) == []


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
    figure = costs.figure(read(run.folder))
    assert [[row[1], row[3], row[6]] for row in figure.rows[:2]] == [
        ["training", "1 h 02 min", "2,048 MiB"],
        ["prediction", "2 min 05 s", "900 MiB"],
    ]
    (_, _, times), *_ = figure.panels
    long, short = (float(x) for x in re.findall(r'<rect [^>]*width="([\d.]+)"', times))
    assert long == 324 and short == pytest.approx(324 * 125 / 3720, abs=0.01)


def test_boxes_of_the_fixture_are_met_in_full():
    assert answer_figures.matched([row(prediction=BOXES, reference=BOXES)]).ious.tolist() == [1.0]
