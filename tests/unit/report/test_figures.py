import re

import pytest

from legor1.files import write_jsonl
from legor1.report import figures, svg
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
    assert figures.nice_ticks(*given) == pytest.approx(expected)


def test_running_mean_is_centred_and_leaves_short_curves_alone():
    short = [(float(x), float(x % 2)) for x in range(24)]
    assert figures.running_mean(short) == short
    line = [(float(x), 2.0 * x) for x in range(48)]  # reach 2: five points
    mean = figures.running_mean(line)
    assert mean[2:-2] == line[2:-2]
    assert mean[0] == (0.0, 2.0)  # of 0, 2 and 4


def test_interval_panel_places_value_and_interval_on_its_axis():
    one = Experiment(1, "sft", "sft")
    panel = figures.interval_panel("p", "IoU", [(one, Score(0.5, 0.25, 1.0, 9))])
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
    figure = figures.curves(study, study.experiments[1])
    titles = ["Loss", "Reward, weighted sum", "Reward: object", "KL divergence from the base model"]
    assert [title for title, _, _ in figure.panels] == titles
    assert figure.headings == ["Step", *titles]
    assert figure.rows == [["1", "1", "0.4", "0.3", "0.1"]]


def test_svg_escapes_names_values_and_text():
    made = svg.tag("text", 'a<b>"', svg.tag("b"), x=1.0, font_size='2"', class_=None)
    assert made == '<text x="1" font-size="2&#34;">a&lt;b&gt;&#34;<b></b></text>'
