import base64
import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from legor1.errors import UserError
from legor1.files import write_json, write_jsonl
from legor1.report import facts, figures, findings, gallery, svg, tables
from legor1.report.render import TEMPLATES, environment, render
from legor1.report.study import Experiment, Score, published, read

BOXES = '[{"bbox_2d": [40, 30, 200, 150], "label": "2 red 2x4 brick"}]'
SCRIPT = "<script>alert(1)</script>"
BREAKOUT = '"></svg></style><img src=x onerror="alert(2)">'
TEMPLATE = "{{ 7 * 7 }}{% raw %}"
EXPERIMENTS = {
    "few_shot": {"method": "baseline", "demonstrations": True},
    "sft": {"method": "sft", "lora": {"r": 8}},
    "grpo": {"method": "grpo", "lora": {"r": 8}},
}
# experiment → metric → (value, low, high)
SCORES = {
    "few_shot": {"iou": (0.2, 0.18, 0.22), "f1_theme": (0.5, 0.4, 0.6), "fpr": (0.3, 0.2, 0.4)},
    "sft": {"iou": (0.45, 0.42, 0.48), "f1_theme": (0.7, 0.65, 0.75), "fpr": (0.1, 0.05, 0.15)},
    "grpo": {"iou": (0.43, 0.4, 0.46), "f1_theme": (0.3, 0.25, 0.35), "fpr": (0.3, 0.2, 0.4)},
}


@dataclass
class Run:
    """A run's folder in the making."""

    folder: Path
    config: dict = field(
        default_factory=lambda: {
            "run": "tiny",
            "seed": 42,
            "device": "cpu",
            "precision": "float32",
            "dataset": {"source": "synthetic", "synthetic": {"manuals": 3, "look": "manual"}},
            "base": {"source": "shipped"},
            "experiments": EXPERIMENTS,
            "evaluation": {"confidence": 0.95},
            "report": {"title": "A tiny run", "gallery": 4},
        }
    )

    def __post_init__(self) -> None:
        self.table(SCORES)
        self.configure()
        write_json(self.folder / "provenance.json", {"commit": "a" * 40, "dirty": True})

    def configure(self, **changes) -> None:
        self.config |= changes
        write_json(self.folder / "config.json", self.config)

    def table(self, scores: dict) -> None:
        tasks = {one.name: one.task for one in tables.METRICS}
        rows = ["experiment,protocol,task,metric,value,low,high,n"]
        for name, metrics in scores.items():
            for metric, numbers in metrics.items():
                values = ",".join("" if x is None else str(x) for x in numbers)
                rows.append(f"{name},sound,{tasks[metric]},{metric},{values},40")
        (self.folder / "table.csv").write_text("\n".join(rows) + "\n")

    def predict(self, experiment: str, *rows: dict, iou: list[float] | None = None) -> None:
        write_jsonl(self.folder / "predictions" / f"{experiment}.jsonl", rows)
        frame = pd.DataFrame(
            {
                "instance_id": [row["instance_id"] for row in rows],
                "iou": iou or [0.5] * len(rows),
                "f1_theme": [math.nan] * len(rows),
            }
        )
        target = self.folder / "scores" / experiment / "sound" / "per_example.parquet"
        target.parent.mkdir(parents=True)
        frame.to_parquet(target)

    def image(self, name: str, size: tuple[int, int] = (400, 300)) -> None:
        target = self.folder / "data" / "tree" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (0, 90, 200)).save(target)

    def page(self) -> "Page":
        out = self.folder / "report.html"
        render(self.folder, out)
        return Page(out.read_text(encoding="utf-8"))


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, and the text between them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source, self.elements, self.texts = source, [], []
        self.feed(source)
        self.text = re.sub(r"\s+", " ", " ".join(self.texts))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        self.texts.append(data)

    def all(self, attribute: str) -> list[str]:
        return [given[attribute] for _, given in self.elements if attribute in given]


def row(name: str = "object/m/1_eop", task: str = "object", **changes) -> dict:
    facts = {"instance_id": name, "task": task, "image": "a.png", "width": 400, "height": 300}
    answer = {"completion": BOXES, "prediction": BOXES, "reference": BOXES, "finished": True}
    return facts | answer | changes


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path)


@pytest.fixture
def full(run) -> Run:
    """A run with all its files, hostile strings in every place that others can write."""
    name = "object/m/" + BREAKOUT
    label = json.dumps([{"bbox_2d": [10, 10, 90, 80], "label": SCRIPT + BREAKOUT}])
    run.image("a.png")
    for experiment in EXPERIMENTS:
        run.predict(
            experiment,
            row(),
            row(name, prediction=label, completion=label + SCRIPT, image=BREAKOUT),
            row("grounding/m/1", "grounding", completion=TEMPLATE, reference=BREAKOUT),
            row("state/m/1", "state", completion="Yes.", prediction="Yes.", reference="No."),
        )
    conversations = [{"instance_id": name, "prompt": "Where? " + SCRIPT}]
    write_jsonl(run.folder / "data/sound/plain/test.jsonl", conversations)
    write_jsonl(run.folder / "data/quarantine.jsonl", [{"reason": "odd " + SCRIPT}] * 2)
    split = {"protocol": "sound", "seed": 42, "test_fraction": 0.25}
    write_json(
        run.folder / "data/sound/split.json", split | {"train": ["object/x"], "test": [name]}
    )
    files = {"a.png": {"size": 2048, "sha256": "0" * 64}}
    write_json(run.folder / "data/manifest.json", {"files": files, "total_bytes": 2048})
    write_json(run.folder / "base/model.json", {"source": BREAKOUT, "files": {SCRIPT: "ab" * 32}})
    history = [
        {"step": s, "loss": 2.0 / s, "rewards/" + SCRIPT: 0.5, "reward": 0.5} for s in (1, 2)
    ]
    write_jsonl(run.folder / "adapters/grpo/history.jsonl", history)
    cost = {"seconds": 65, "peak_memory_mib": 900, "steps": 2, "rows": 8}
    size = {"trainable_parameters": 100, "total_parameters": 1_600_100}
    write_json(run.folder / "adapters/grpo/run.json", cost | size | {"provenance": {}})
    experiments = EXPERIMENTS | {"sft": {"method": "sft", "note": SCRIPT}}
    run.configure(experiments=experiments, report={"title": "T " + BREAKOUT, "gallery": 4})
    return run


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
    assert page.text.count("image not available") == 3  # the example whose image has a hostile name


def test_a_second_protocol_has_a_table_and_a_baseline_without_model_no_column(run):
    with (run.folder / "table.csv").open("a") as file:
        for name, value in (("few_shot", 1.375), ("sft", 2.5), ("grpo", "")):
            file.write(f"{name},thesis,object,iou,{value},,,40\n")
        file.write("mean_box,sound,object,iou,0.111,0.1,0.2,40\n")
    study = read(run.folder)
    assert study.protocols == ["sound", "thesis"]
    assert [one.name for one in study.experiments] == list(EXPERIMENTS)
    text = run.page().text
    assert "protocol thesis" in text and "137.5 no interval" in text
    assert "mean_box" not in text


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
    ):
        assert said in text
    assert "not recorded" in text


def test_without_a_table_there_is_no_report(run):
    (run.folder / "table.csv").unlink()
    with pytest.raises(UserError, match="Remedy"):
        run.page()
    (run.folder / "table.csv").write_text("experiment,protocol,task,metric,value,low,high,n\n")
    with pytest.raises(UserError, match="no number"):
        run.page()


def test_a_damaged_table_names_its_line(run):
    (run.folder / "table.csv").write_text(
        "experiment,protocol,task,metric,value,low,high,n\n"
        "sft,sound,object,iou,0.5,0.4,0.6,40\n"
        "grpo,sound,object,iou,much,0.4,0.6,40\n"
    )
    with pytest.raises(UserError, match="line 3"):
        run.page()


def test_all_published_numbers_are_shown_and_marked_as_not_comparable(run):
    page = run.page()
    assert Counter(row["source"] for row in published()) == {"lego_arta_paper": 15, "thesis": 3}
    for line in published():
        assert line["iou"] in page.text and line["fpr"] in page.text
        assert line["source"] == "thesis" or line["model"] in page.text
    assert "7B model, real data, own protocol: not comparable" in page.text
    assert "no number of this run can be held against them" in page.text


def test_a_real_study_is_not_called_a_demonstration(run):
    run.configure(
        dataset={"source": "huggingface", "huggingface": {"repo": "o/d", "revision": "main"}},
        base={"source": "huggingface", "huggingface": {"repo": "o/Big-VL", "revision": "main"}},
        device="cuda",
    )
    text = run.page().text
    assert "A demonstration" not in text and "The real LEGO-ARTA" not in text
    assert "How well does o/Big-VL find the parts" in text
    assert "A GPU" not in text


def test_results_in_percent_with_intervals_best_marked_by_a_sign(run):
    page = run.page()
    blocks = tables.results(read(run.folder), "sound")
    assert [block.task for block in blocks] == ["object", "grounding", "state"]
    assert [cell.mark for cell in blocks[0].rows[0].cells] == ["", "ahead", ""]
    assert [cell.mark for cell in blocks[1].rows[0].cells] == ["", "best", ""]
    assert [cell.mark for cell in blocks[2].rows[0].cells] == ["", "best", ""]  # fpr: lower
    assert "★ 70.0 65.0–75.0" in page.text and "☆ 45.0 42.0–48.0" in page.text


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([(0.5, 0.4, 0.6), (0.8, 0.7, 0.9)], ["", "best"]),
        ([(0.5, 0.4, 0.7), (0.8, 0.7, 0.9)], ["", "ahead"]),  # they touch
        ([(0.8, 0.7, 0.9), None, (0.5, 0.4, 0.6)], ["best", "", ""]),
        ([(0.5, 0.4, 0.6), (0.5, 0.3, 0.7)], ["", ""]),
        ([(0.5, 0.4, 0.6), (0.5, 0.3, 0.7), (0.1, 0.0, 0.2)], ["ahead", "ahead", ""]),
        ([(0.5, 0.4, 0.6)], [""]),
        ([(0.5, math.nan, math.nan), (0.8, 0.7, 0.9)], ["", "ahead"]),
    ],
)
def test_marks(scores, expected):
    given = [score and Score(*score, 10) for score in scores]
    assert tables.marks(tables.metric("iou"), given) == expected


def test_a_difference_is_claimed_only_where_intervals_are_apart(run):
    study = read(run.folder)
    parts, say = (str(re.sub("<.*?>", "", s)) for s in findings.answers(study, "sound"))
    assert parts == (
        "Find the parts (mean IoU): sft and grpo are clearly better than few_shot "
        "(45.0 and 43.0\N{NO-BREAK SPACE}% against 20.0\N{NO-BREAK SPACE}%); "
        "no clear difference between sft and grpo."
    )
    assert say == (
        "Say what to do (F1-theme): sft is clearly better than few_shot "
        "(70.0\N{NO-BREAK SPACE}% against 50.0\N{NO-BREAK SPACE}%); "
        "grpo is clearly worse than few_shot "
        "(30.0\N{NO-BREAK SPACE}% against 50.0\N{NO-BREAK SPACE}%); "
        "sft is clearly better than grpo."
    )


def test_overlapping_intervals_are_no_clear_difference_however_far_the_values(run):
    wide = {"few_shot": (0.1, 0.0, 0.5), "sft": (0.9, 0.5, 1.0), "grpo": (0.6, 0.2, 0.9)}
    run.table({name: {"iou": numbers} for name, numbers in wide.items()})
    (said,) = findings.answers(read(run.folder), "sound")
    assert "no clear difference between" in said and "clearly" not in said


def test_experiments_keep_the_order_of_the_table_and_their_colour(run):
    run.table({name: SCORES[name] for name in ("sft", "grpo")})
    study = read(run.folder)
    assert [one.name for one in study.experiments] == ["sft", "grpo", "few_shot"]
    assert study.baseline.name == "few_shot"
    assert "No results were found for few_shot." in facts.not_run(study)
    assert [svg.colour(one.index) for one in study.experiments] == ["e0", "e1", "e2"]


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


def test_gallery_holds_best_worst_and_a_fixed_lot(run):
    rows = [row(f"object/m/{i}") for i in range(20)]
    run.predict("sft", *rows, iou=[i / 20 for i in range(20)])
    run.configure(report={"title": "T", "gallery": 6})
    lot, best, worst = gallery.groups(read(run.folder))
    assert [one.instance_id for one in best.examples] == ["object/m/19"]
    assert [one.instance_id for one in worst.examples] == ["object/m/0"]
    chosen = {one.instance_id for one in lot.examples}
    assert len(chosen) == 4 and not chosen & {"object/m/19", "object/m/0"}

    run.predict("grpo", *reversed(rows))  # the order of rows, and more experiments, change nothing
    assert {one.instance_id for one in gallery.groups(read(run.folder))[0].examples} == chosen


def test_no_gallery_is_wanted(run):
    run.predict("sft", row())
    run.configure(report={"title": "T", "gallery": 0})
    assert gallery.groups(read(run.folder)) == []


def test_an_example_says_what_each_experiment_answered(run):
    run.image("a.png")
    state = row("state/m/1", "state", reference="No.")
    run.predict(
        "sft", row(prediction="[{", finished=False), state | {"prediction": "Yes."}, iou=[0, 0]
    )
    run.predict("grpo", row(), state | {"prediction": "no"}, iou=[1, 0])
    run.predict("few_shot", state | {"prediction": "Perhaps."})
    objects, states = gallery.groups(read(run.folder))
    unreadable, perfect = objects.examples[0].answers
    assert unreadable.parts is None and not unreadable.finished
    assert perfect.parts == [("a", "2 red 2x4 brick")]
    assert perfect.scores == [("IoU", "100.0")]
    assert objects.examples[0].parts == [("1", "2 red 2x4 brick")]
    assert [a.verdict for a in states.examples[0].answers] == ["unreadable", "wrong", "right"]


def test_boxes_are_drawn_in_pixels_of_the_original(run):
    run.predict("sft", row(width=800, height=600))
    (group,) = gallery.groups(read(run.folder))
    picture = group.examples[0].answers[0].picture
    assert 'viewBox="0 0 800 600"' in picture
    true, predicted = re.findall(r'<rect ([^>]*)class="box [^"]*"', picture)
    assert true == predicted == 'x="40" y="30" width="160" height="120" '


@pytest.mark.parametrize("box", ["[9e8, 9e8, -9e8, 5]", "[200, 150, 40, 30]", "[5, 5, 5, 5]"])
def test_odd_boxes_stay_drawable(run, box):
    run.predict("sft", row(prediction=f'[{{"bbox_2d": {box}, "label": "x"}}]'))
    picture = gallery.groups(read(run.folder))[0].examples[0].answers[0].picture
    numbers = [float(x) for x in re.findall(r' (?:x|y|cx|cy)="([^"]*)"', picture)]
    sizes = [float(x) for x in re.findall(r' (?:width|height)="([^"]*)"', picture)]
    assert all(-400 <= x <= 800 for x in numbers) and all(0 <= x <= 1200 for x in sizes)


def test_images_outside_the_tree_are_not_read(run, tmp_path):
    run.image("a.png", (1200, 300))
    tree = run.folder / "data" / "tree"
    (tree.parent / "secret.png").write_bytes((tree / "a.png").read_bytes())
    (tree / "link.png").symlink_to(tree.parent / "secret.png")
    (tree / "note.png").write_text("no image")
    for name in ("../secret.png", str(tree.parent / "secret.png"), "link.png", "note.png", "x\0"):
        assert gallery.thumbnail(tree, name) is None
    content = base64.b64decode(gallery.thumbnail(tree, "a.png").partition(",")[2])
    (tmp_path / "small.jpg").write_bytes(content)
    with Image.open(tmp_path / "small.jpg") as small:
        assert small.size == (400, 100)


def test_what_was_run_and_what_not(full):
    study = read(full.folder)
    assert facts.counts(study)[0] == ["Find the parts (object)", "1", "1"]
    assert facts.quarantine(study) == [["odd " + SCRIPT, "2"]]
    assert ["Wall time", "not recorded", "1 min 05 s"] in facts.costs(study)
    assert facts.machine(study)["Commit"] == "a" * 12 + ", with changes"
    assert facts.command(study) == "snakemake --configfile results/tiny/config.json"
    said = " ".join(facts.not_run(study))
    assert "The real LEGO-ARTA" in said and "with 1.6 million parameters" in said
    assert facts.data(study)["Tree"] == "1 files, 2.0 KiB"


def test_recipes_stand_side_by_side(run):
    assert facts.recipes(read(run.folder)) == [
        ["method", "baseline", "sft", "grpo"],
        ["demonstrations", "yes", "–", "–"],
        ["lora.r", "–", "8", "8"],
    ]


def test_home_folders_are_not_named(run):
    run.configure(dataset={"source": "directory", "directory": "/home/ada/arta"})
    provenance = {"commit": None, "command": ["snakemake", "--directory", "/Users/ada/x"]}
    write_json(run.folder / "provenance.json", provenance)
    page = run.page()
    assert "/ada" not in page.source
    assert "snakemake --directory ~/x" in page.text and '"~/arta"' in page.text


@pytest.mark.parametrize(
    ("seconds", "text"), [(59.4, "59 s"), (60, "1 min 00 s"), (3720, "1 h 02 min")]
)
def test_duration(seconds, text):
    assert facts.duration(seconds) == text


def test_svg_escapes_names_values_and_text():
    made = svg.tag("text", 'a<b>"', svg.tag("b"), x=1.0, font_size='2"', class_=None)
    assert made == '<text x="1" font-size="2&#34;">a&lt;b&gt;&#34;<b></b></text>'


def test_a_lone_surrogate_does_not_stop_the_report(run):
    text = json.dumps(run.config | {"report": {"title": "half \ud83d", "gallery": 1}})
    (run.folder / "config.json").write_text(text)
    assert "half ?" in run.page().text
