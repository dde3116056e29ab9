import re

import pytest
from report_run import Page

from legor1.cli import main
from legor1.core.files import write_json, write_jsonl
from legor1.report import svg
from legor1.report.sections import training_curves
from legor1.report.study import Experiment, Score, read


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((0, 60, 5), [0, 20, 40, 60]),
        ((0, 0.97, 4), [0, 0.25, 0.5, 0.75, 1.0]),
        ((-0.012, 0.031, 4), [-0.02, 0, 0.02, 0.04]),
        ((3, 3, 4), [2.6, 2.8, 3.0, 3.2, 3.4]),
    ],
)
def test_nice_ticks(given, expected):
    assert svg.nice_ticks(*given) == pytest.approx(expected)


def test_running_mean_is_centred_and_leaves_short_curves_alone():
    short = [(float(x), float(x % 2)) for x in range(24)]
    assert training_curves.running_mean(short) == short
    line = [(float(x), 2.0 * x) for x in range(48)]  # reach 2: five points
    mean = training_curves.running_mean(line)
    assert mean[2:-2] == line[2:-2]
    assert mean[0] == (0.0, 2.0)  # of 0, 2 and 4


def test_interval_panel_places_value_and_interval_on_its_axis():
    one = Experiment(1, "sft", "sft")
    scored = [(one, Score(0.5, 0.25, 1.0, 9))]
    panel = svg.chart("intervals", "p", "IoU", scored, ("mean_box", Score(0.75, 0, 1, 9)))
    (floor,) = re.findall(r'<line x1="([\d.]+)" [^>]*class="floor"', panel)
    assert float(floor) == 8 + 324 * 0.75  # the best answer without a model
    bar = re.search(r'<line x1="([\d.]+)" x2="([\d.]+)" [^>]*class="bar e1"', panel)
    left, right = 8.0, 332.0  # where the axis of 0 to 100 begins and ends
    assert float(bar[1]) == left + (right - left) / 4
    assert float(bar[2]) == right
    assert "50.0</tspan>" in panel and "25.0–100.0" in panel


def test_curves_follow_the_reward_by_its_parts(run):
    log = {"step": 1, "kl": 0.1, "reward": 0.4, "loss": 1.0, "rewards/object/mean": 0.3}
    noise = {"rewards/object/std": 0.1, "learning_rate": 0.1, "grad_norm": 1.0}
    last = {"step": 2, "train_runtime": 5.0, "loss": None}
    write_jsonl(run.folder / "adapters/sft/history.jsonl", [log | noise, last])
    study = read(run.folder)
    figure = training_curves.curves(study, study.experiments[1])
    # A GRPO loss is noise about 0
    titles = ["Reward, weighted sum", "Reward: object", "KL divergence from the reference model"]
    assert [title for title, _, _ in figure.panels] == titles
    assert figure.headings == ["Step", *titles]
    assert figure.rows == [["1", "0.4", "0.3", "0.1"]]


def test_where_a_training_was_taken_up_again_is_drawn_and_said(run):
    rows = [{"step": step, "loss": 1.0 / step} for step in range(1, 11)]
    write_jsonl(run.folder / "adapters/sft/history.jsonl", rows)
    write_json(run.folder / "adapters/sft/run.json", {"resumed": [5]})
    study = read(run.folder)
    figure = training_curves.curves(study, study.experiments[1])
    ((_, _, picture),) = figure.panels
    (x,) = re.findall(r'<line x1="([\d.]+)" [^>]*class="resumed"', picture)
    assert float(x) == 40 + 290 * 5 / 10  # steps 0 to 10 lie between 40 and 330
    assert "resumed after step 5" in run.page().text


def test_a_long_training_has_a_short_table_with_both_ends(run):
    rows = [{"step": step, "loss": 1.0} for step in range(1, 1001)]
    write_jsonl(run.folder / "adapters/sft/history.jsonl", rows)
    study = read(run.folder)
    shown = [row[0] for row in training_curves.curves(study, study.experiments[1]).rows]
    assert len(shown) <= training_curves.MOST_ROWS and (shown[0], shown[-1]) == ("1", "1000")


def two_rewards(run, **other):
    """Write two trainings that differ in their rewards, and in what is given."""
    training = {"steps": 30, "suite": "figure1_configuration1", "rewards": {"object": 1.0}}
    one = {"method": "grpo", "lora": {"r": 8}, "training": training}
    second = {"training": training | {"suite": "figure1_configuration2"}} | other
    run.configure(experiments={"one": one, "sft": {"method": "sft"}, "two": one | second})
    run.table({name: {"iou": (0.2, 0.1, 0.3)} for name in ("one", "sft", "two")})
    for name, gain in (("one", 0.0), ("two", 0.1)):
        rows = [{"step": step, "reward": gain * step, "loss": 1.0} for step in range(1, 31)]
        write_jsonl(run.folder / f"adapters/{name}/history.jsonl", rows)
    return read(run.folder)


def test_trainings_that_differ_in_their_rewards_alone_share_a_panel(run):
    ((group, figure),) = training_curves.reward_figures(two_rewards(run))
    assert [one.name for one in group] == ["one", "two"]
    ((_, _, picture),) = figure.panels
    assert picture.count("<polyline") == 3  # what is level has no other mean
    assert 'class="curve faint e2"' in picture and 'class="curve e0"' in picture
    assert "one: from 0 to 0 over 30 logged steps. two: from 0.1 to 3" in picture
    assert figure.headings == ["Step", "one", "one, mean", "two", "two, mean"]
    assert len(figure.rows) == 30
    assert figure.rows[0] == ["1", "0", "0", "0.1", "0.15"]
    page = run.page()
    assert page.text.count("Rewards side by side") == 1
    assert "Rewards of one and two as a table" in page.text


def test_trainings_that_differ_in_more_do_not(run):
    assert training_curves.reward_figures(two_rewards(run, lora={"r": 4})) == []
    assert "Rewards side by side" not in run.page().text


def test_a_training_without_history_has_no_curve_beside_it(run):
    study = two_rewards(run)
    (run.folder / "adapters/two/history.jsonl").unlink()
    assert len(training_curves.reward_figures(study)) == 1
    assert training_curves.reward_figures(read(run.folder)) == []


def test_figure_1_is_a_page_of_its_own_that_needs_the_trainings_alone(run, capsys):
    two_rewards(run)
    out = run.folder / "figure1.html"
    given = [f"{name}={run.folder / 'adapters' / name}" for name in ("one", "two")]
    assert main.main(["figure1", *given, "--out", str(out)]) == 0
    page = Page(out.read_text(encoding="utf-8"))
    assert "Rewards side by side" in page.text and "two, mean" in page.text
    assert len([tag for tag, given in page.elements if given.get("class") == "chart"]) == 1
    assert main.main(["figure1", given[0], "--out", str(out)]) != 0
    assert "no trainings that differ in their rewards alone. Remedy: " in capsys.readouterr().err
