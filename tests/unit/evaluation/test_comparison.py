import itertools

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator
from prediction_lines import line
from test_scoring import BOX, HALF, PREDICTIONS, SCHEMAS

from legor1.cli.main import main as run_command
from legor1.core.errors import UserError
from legor1.core.files import read_json, write_jsonl
from legor1.evaluation.comparison import compare, write_comparison
from legor1.evaluation.resampling import holm
from legor1.evaluation.scoring import PROTOCOLS, Bootstrap, write_scores
from legor1.tasks.discovery import METRICS


@pytest.fixture
def folder(tmp_path):
    def scored(name, rows, **options):
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
        write_scores(tmp_path / f"{name}.jsonl", tmp_path / name, settings=Bootstrap(10), **options)
        return tmp_path / name

    return scored


def boxes(rate, seed, manuals=12, each=5):
    """Answers of which about ``rate`` are right, better in some manuals than in others."""
    rng = np.random.default_rng(seed)
    return [
        line(f"object/{m}/{i}", "object", BOX if rng.random() < rate else HALF, BOX, manual=f"m{m}")
        for m in range(manuals)
        for i in range(each)
    ]


def verdicts(said, true="Yes."):
    return [line(f"state/{i}", "state", one, true) for i, one in enumerate(said)]


def test_the_same_answers_do_not_differ(folder):
    one = folder("one", PREDICTIONS)
    found = compare([("a", one), ("b", one)], settings=Bootstrap(200))
    for task in found["comparisons"][0]["tasks"].values():
        main = task["metrics"][task["main"]]
        assert main["difference"] == 0
        assert (main["p"], main["p_holm"]) in ((1, 1), (None, None))
    grounding = found["comparisons"][0]["tasks"]["grounding"]["metrics"]
    assert grounding["bleu"]["p"] is None  # a single manual


def test_differences_by_hand(folder):
    first = folder("first", verdicts(["Yes", "No", "No", "No"]))
    second = folder("second", verdicts(["Yes", "Yes", "Yes", "who knows"]))
    state = compare([("a", first), ("b", second)])["comparisons"][0]["tasks"]["state"]
    assert state["metrics"]["balanced_accuracy"]["difference"] == pytest.approx(0.75 - 0.25)
    assert state["metrics"]["f1_state"]["difference"] == pytest.approx(6 / 7 - 2 / 5)
    assert state["metrics"]["fpr"]["difference"] is None
    main = state["metrics"]["balanced_accuracy"]
    assert main["p"] == main["p_holm"] == pytest.approx(0.5, abs=0.02)


def test_pairing_narrows_the_interval_of_a_difference(folder):
    first = boxes(0.5, 1)
    second = [row | {"prediction": BOX} if i % 15 == 0 else row for i, row in enumerate(first)]
    pair = [("a", folder("first", first)), ("b", folder("second", second))]
    (compared,) = compare(pair, Bootstrap(2000))["comparisons"]
    iou = compared["tasks"]["object"]["metrics"]["iou"]
    alone = read_json(pair[0][1] / "scores.json")["tasks"]["object"]["intervals"]["iou"]
    assert iou["low"] >= 0 < iou["difference"] < iou["high"]
    assert iou["high"] - iou["low"] < (alone["high"] - alone["low"]) / 2
    assert iou["difference"] == pytest.approx(iou["experiment"] - iou["baseline"])


def test_only_common_instances_are_compared_and_the_others_counted(folder):
    rows = boxes(0.5, 1)
    first, second = folder("first", rows[5:]), folder("second", rows[:-7])
    task = compare([("a", first), ("b", second)])["comparisons"][0]["tasks"]["object"]
    assert (task["n"], task["clusters"]) == (48, 10)
    assert task["missing"] == {"baseline": 5, "experiment": 7}
    assert task["metrics"]["iou"]["difference"] == 0


def test_tasks_without_common_instances_are_left_out(folder):
    first, second = folder("first", PREDICTIONS), folder("second", boxes(0.5, 1))
    assert compare([("a", first), ("b", second)])["comparisons"][0]["tasks"] == {}


def test_seeds_are_pooled_and_widen_the_interval(folder):
    base = ("base", folder("base", boxes(0.3, 1)))
    bad, good = ("sft", folder("bad", boxes(0.4, 2))), ("sft", folder("good", boxes(0.95, 3)))

    def iou(*named):
        found = compare([base, *named], settings=Bootstrap(2000))
        assert found["seeds"] == {"base": 1, "sft": len(named)}
        return found["comparisons"][0]["tasks"]["object"]["metrics"]["iou"]

    alone, pooled = [iou(bad), iou(good)], iou(bad, good)
    assert pooled["difference"] == pytest.approx(np.mean([one["difference"] for one in alone]))
    width = [one["high"] - one["low"] for one in (*alone, pooled)]
    assert width[2] > 1.2 * max(width[:2])  # the seeds differ by more than the manuals
    same = iou(good, ("sft", good[1]))
    assert same["high"] - same["low"] == pytest.approx(width[1])


def test_the_order_of_rows_and_a_further_experiment_change_nothing(folder):
    first, second = folder("first", boxes(0.3, 1)), folder("second", boxes(0.6, 2))
    again = folder("again", boxes(0.6, 2)[::-1])
    one = compare([("a", first), ("b", second)], settings=Bootstrap(100))
    two = compare([("a", first), ("c", first), ("b", again)], settings=Bootstrap(100))
    tasks = [one["comparisons"][0]["tasks"], two["comparisons"][1]["tasks"]]
    metrics = [found["object"]["metrics"] for found in tasks]
    adjusted = [{name: one.pop("p_holm") for name, one in found.items()} for found in metrics]
    assert tasks[0] == tasks[1]
    p = {name: one["p"] for name, one in metrics[0].items()}
    main = "f1_50_labelled"
    assert adjusted[0][main] == p[main] < adjusted[1][main]  # of one test, and of three


def test_the_main_metrics_are_one_family_and_the_secondary_ones_another(folder):
    rows = [boxes(0.2 + 0.1 * i, i) for i in (1, 2, 3)]
    for row in itertools.chain.from_iterable(rows):
        row["prediction"] = row["prediction"].replace(HALF, "[]")
    named = [(name, folder(name, some)) for name, some in zip("abc", rows, strict=True)]
    tests = [one["tasks"]["object"]["metrics"] for one in compare(named)["comparisons"]]
    families = {
        "main": ["f1_50_labelled"],
        "secondary": list(PROTOCOLS["sound"]["object"].secondary),
    }
    for names in families.values():
        found = [one[name] for one in tests for name in names]
        assert [one["p_holm"] for one in found] == holm([one["p"] for one in found])
    assert any(one["f1_50"]["p"] < 0.05 < one["f1_50"]["p_holm"] for one in tests)
    assert {one["recall_75"]["p_holm"] for one in tests} == {None}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_metric_that_the_report_judges_is_in_a_family(protocol):
    known = PROTOCOLS[protocol]
    for one in METRICS:
        if (task := known.get(one.task)) is None:
            assert (protocol, one.task) == ("thesis", "question")  # which was not published
            continue
        assert one.name not in task.metrics or one.name in (task.main, *task.secondary)
    assert all(set(task.secondary) <= set(task.metrics) for task in known.values())


def test_each_is_compared_with_all_before_it(folder):
    named = [(name, folder(name, boxes(0.2 * i, i))) for i, name in enumerate("abc", 1)]
    found = compare(named, settings=Bootstrap(20))
    pairs = [(one["baseline"], one["experiment"]) for one in found["comparisons"]]
    assert pairs == [("a", "b"), ("a", "c"), ("b", "c")]
    gains = [one["tasks"]["object"]["metrics"]["iou"]["difference"] for one in found["comparisons"]]
    assert gains[1] == pytest.approx(gains[0] + gains[2]) and gains[2] > 0


@pytest.mark.parametrize("protocol", ["sound", "thesis"])
def test_the_file_is_read_back(folder, tmp_path, protocol):
    first = folder("first", PREDICTIONS, protocol=protocol)
    second = folder("second", PREDICTIONS[1:], protocol=protocol)
    out = tmp_path / "comparison.json"
    returned = write_comparison([("a", first), ("b", second)], out, settings=Bootstrap(20))
    assert read_json(out) == returned
    assert returned["protocol"] == protocol
    Draft202012Validator(read_json(SCHEMAS / "comparison.schema.json")).validate(returned)
    assert returned["comparisons"][0]["tasks"]["object"]["missing"] == {
        "baseline": 0,
        "experiment": 1,
    }


def test_the_command_says_each_difference_and_its_adjusted_p(folder, tmp_path, capsys):
    first, second = folder("first", boxes(0.2, 1)), folder("second", boxes(0.9, 2))
    given = [f"few={first}", f"sft={second}", "--out", str(tmp_path / "c.json"), "--replicates"]
    assert run_command(["compare", *given, "20"]) == 0
    (compared,) = read_json(tmp_path / "c.json")["comparisons"]
    main = compared["tasks"]["object"]["metrics"]["f1_50_labelled"]
    told = f"f1_50_labelled {main['difference']:.3f}, adjusted p {main['p_holm']:.3f}"
    assert "compare sft against few object: n 60, " in (said := capsys.readouterr().out)
    assert told in said


def test_what_cannot_be_compared_is_refused(folder, tmp_path):
    sound, thesis = folder("s", PREDICTIONS), folder("t", PREDICTIONS, protocol="thesis")
    for named, said in (
        ([("a", sound), ("b", thesis)], "different protocols"),
        ([("a", sound), ("a", sound)], "a alone cannot be compared"),
        ([("a", sound), ("b", tmp_path / "none")], "does not exist"),
    ):
        with pytest.raises(UserError, match=f"{said}.*Remedy"):
            compare(named)
    other, path = folder("u", PREDICTIONS), sound / "per_example.parquet"
    pd.read_parquet(path).drop(columns=["tp", "manual"]).to_parquet(path)
    with pytest.raises(UserError, match=r"per_example\.parquet lacks manual, tp\..*Remedy"):
        compare([("a", sound), ("b", other)])
    path.unlink()
    with pytest.raises(UserError, match=r"per_example\.parquet does not exist.*Remedy"):
        compare([("a", sound), ("b", other)])
