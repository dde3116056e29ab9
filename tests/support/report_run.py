"""A run's folder in the making, and the page that a report of it is."""

import math
import re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import lxml.html
import pandas as pd
from markupsafe import Markup
from PIL import Image

from legor1.core.files import write_json, write_jsonl
from legor1.report.page import environment, render
from legor1.report.sections import result_tables
from legor1.report.study import Study
from legor1.tasks.discovery import TASKS, main_metric

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
for metrics in SCORES.values():  # the tasks' main ones
    metrics |= {"f1_50_labelled": metrics["iou"], "exact": metrics["f1_theme"]}


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
            "dataset": {"source": "synthetic", "synthetic": {"manuals": 3}},
            "base": {"source": "shipped"},
            "pixel_budget": {"min_pixels": 3136, "max_pixels": 120_000},
            "protocols": {"sound": {"defects": "none", "object_format": "json"}},
            "experiments": EXPERIMENTS,
            "evaluation": {"confidence": 0.95},
            "report": {"title": "A tiny run", "gallery": 4},
        }
    )

    def __post_init__(self) -> None:
        self.table(SCORES)
        self.configure()

    def configure(self, **changes) -> None:
        self.config |= changes
        write_json(self.folder / "config.json", self.config)

    def table(self, scores: dict) -> None:
        tasks = {one.name: one.task for one in result_tables.METRICS}
        rows = ["experiment,protocol,task,metric,value,low,high,n"]
        for name, metrics in scores.items():
            for metric, numbers in metrics.items():
                values = ",".join("" if x is None else str(x) for x in numbers)
                rows.append(f"{name},sound,{tasks[metric]},{metric},{values},40")
        (self.folder / "table.csv").write_text("\n".join(rows) + "\n")

    def predict(self, experiment: str, *rows: dict, iou: list[float] | None = None) -> None:
        write_jsonl(self.folder / "predictions" / f"{experiment}.jsonl", rows)
        given = zip(rows, iou or [0.5] * len(rows), strict=True)
        frame = pd.DataFrame(
            {
                "instance_id": [row["instance_id"] for row in rows],
                "task": [row["task"] for row in rows],
                "iou": [one if row["task"] == "object" else math.nan for row, one in given],
                "f1_theme": [math.nan] * len(rows),
            }
        )
        target = self.folder / "scores" / experiment / "sound" / "per_example.parquet"
        target.parent.mkdir(parents=True)
        frame.to_parquet(target)

    def record(self, result: str, stage: str, *inputs: str, **changes) -> None:
        """Write the record beside a result."""
        content = record(result, stage, *inputs, **changes)
        write_json(self.folder / f"{result}.provenance.json", content)

    def image(self, name: str, size: tuple[int, int] = (400, 300)) -> None:
        target = self.folder / "data" / "tree" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (0, 90, 200)).save(target)

    def page(self) -> "Page":
        out = self.folder / "report.html"
        render(self.folder, out)
        return Page(out.read_text(encoding="utf-8"))

    def gallery(self) -> "Page":
        """Render the report and the gallery; return the gallery."""
        out = self.folder / "gallery.html"
        render(self.folder, self.folder / "report.html", gallery=out)
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


_environment = cache(environment)


def macro(template: str, name: str, *given) -> Markup:
    """Return what a macro of the report's templates makes."""
    return vars(_environment().get_template(template).module)[name](*given)


def table(name: str, *given) -> list[list[str]]:
    """Return the cells of a table of the report, its headings first; none where there is none."""
    made = lxml.html.fromstring(f"<div>{macro('_tables.html.j2', name, *given)}</div>")
    return [[cell.text_content() for cell in row] for row in made.iter("tr")]


def answers(study: Study) -> list[Markup]:
    """Return what the report says of each task."""
    protocol = study.protocols[0]
    known = [metric for metric in map(main_metric, TASKS) if study.scored(protocol, metric)]
    return [macro("_summary.html.j2", "answer", study, protocol, metric) for metric in known]


def row(name: str = "object/m/1_eop", task: str = "object", **changes) -> dict:
    facts = {"instance_id": name, "task": task, "image": "a.png", "width": 400, "height": 300}
    answer = {"completion": BOXES, "prediction": BOXES, "reference": BOXES, "finished": True}
    return facts | answer | changes


def record(result: str, stage: str, *inputs: str, **changes) -> dict:
    """Return the record of a result: by default a file that was made of others."""
    made = changes.pop("made", [result])
    facts = {
        "stage": stage,
        "settings": {},
        "seed": None,
        "inputs": [{"path": f"results/tiny/{one}", "sha256": "1" * 64} for one in inputs],
        "outputs": [{"path": f"results/tiny/{one}", "sha256": "1" * 64} for one in made],
        "started": "2026-01-02T03:04:05+00:00",
        "wall_seconds": 1.5,
        "peak_memory_mib": 100.0,
        "peak_gpu_memory_mib": None,
        "host": {"name": "secret", "processor": "A processor", "memory_mib": 8},
        "devices": ["cpu"],
        "code_sha256": "2" * 64,
        "commit": "a" * 40,
        "dirty": False,
        "python": "3.11.7",
        "platform": "Linux",
        "cpus": 2,
        "versions": {"torch": "2.14.1"},
    }
    return facts | changes


def conversation(name: str, task: str = "object", **changes) -> dict:
    """Return what a test instance was asked, without demonstrations."""
    facts = {"instance_id": name, "task": task, "box_frame": "processed", "demonstrations": []}
    return facts | turn("Which parts?") | changes


def turn(prompt: str, response: str = BOXES, image: str = "a.png") -> dict:
    size = {"width": 400, "height": 300}
    return {"prompt": prompt, "response": response, "image": image} | size
