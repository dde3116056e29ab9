"""A run's folder with a small ablation: conversations, predictions, audits, what was trained."""

import json
from pathlib import Path

from legor1.config import ablation
from legor1.config.models import Config
from legor1.config.settings import load, typed
from legor1.core.files import read_json, write_json, write_jsonl
from legor1.core.layout import RunLayout
from legor1.planning.shared_work import write_plan

ROOT = Path(__file__).parents[2]
MANUALS = [f"m{i:02}" for i in range(12)]
DEFECTS = [
    "frame_mismatch", "state_label_in_prompt", ["row_split", "test_demos_in_training"],
    "row_split", "test_demos_in_training", "literal_question", "two_generations",
    "small_sft_images", "sampled_vs_greedy", "summed_iou", "skipped_answers", "no_intervals",
]  # fmt: skip
BOXES = [
    {"bbox_2d": [0, 0, 10, 10], "label": "brick"},
    {"bbox_2d": [20, 0, 30, 10], "label": "cap"},
]
# What changes the conversations of a protocol in this run, by its defects.
SEEN = {"frame_mismatch", "state_label_in_prompt", "row_split"}
LEAK = "training prompts with a test row among their demonstrations"


def config(**block: object) -> Config:
    """Return the config of the run: the smoke study's, with an ablation."""
    given = {"of": ["few_shot", "sft"], "seeds": [42, 43], "defects": DEFECTS, **block}
    overlay = json.loads(json.dumps({"run": "tried", "ablation": given, "device": "cpu"}))
    return typed(load(ROOT / "config.yaml", {**_smoke(), **overlay}))


def _smoke() -> dict:
    from legor1.config.settings import read

    return read(ROOT / "workflow/configs/smoke.yaml")


def rows() -> list[dict]:
    """Return what is asked: two images of parts, a right and a wrong step of each manual."""
    made = []
    for manual in MANUALS:
        parts = [(f"object/{manual}/{i}", "object", json.dumps(BOXES)) for i in range(2)]
        steps = [(f"state/{manual}/{word}", "state", f"{word}.") for word in ("Yes", "No")]
        made += [
            {"instance_id": name, "task": task, "manual": manual, "response": response}
            for name, task, response in parts + steps
        ]
    return sorted(made, key=lambda row: row["instance_id"])


def prepare(run: Path, settings: Config) -> RunLayout:
    """Write the conversations, the common test set and the audits of every protocol."""
    layout = RunLayout(run)
    tried = layout.ablation
    for name, protocol in ablation.expanded(settings).protocols.items():
        on = {*protocol.defects} if isinstance(protocol.defects, list) else set()
        marked = [row | {"prompt": " ".join(sorted(on & SEEN))} for row in rows()]
        for variant in ("plain", "reasoning"):
            write_jsonl(Path(tried.data.conversations(name, variant, "train")), marked)
            write_jsonl(Path(tried.test(name, variant)), marked)
        leaks = {"row_split", "test_demos_in_training"} <= on
        finding = {"defect": "test_demos_in_training", "variant": "plain", "measured": LEAK}
        finding |= {"value": 0.25 if leaks else 0.0, "n": 40, "chance": 0.0}
        write_json(Path(tried.data.audit(name)), {"findings": [finding]})
    names = [row["instance_id"] for row in rows()]
    tasks = {"object": 24, "state": 24}
    common = {"instances": names, "tasks": tasks, "available": tasks, "manuals": len(MANUALS)}
    write_json(Path(tried.common), common)
    return layout


def answer(row: dict, defects: set[str], seed: int, trained: bool) -> str:
    """Return what is answered: a frame mismatch ruins boxes, a leak of the label tells it.

    Else one of two boxes is found, and steps are guessed by the manual and the seed.
    """
    if row["task"] == "object":
        return "[]" if trained and "frame_mismatch" in defects else json.dumps(BOXES[:1])
    if trained and "state_label_in_prompt" in defects:
        return row["response"]
    return "Yes." if (MANUALS.index(row["manual"]) // (seed - 40)) % 3 else "No."


def answered(run: Path, settings: Config) -> dict:
    """Plan the ablation, and answer and train what the plan asks for; return the plan."""
    layout = prepare(run, settings)
    tried = layout.ablation
    write_plan(run, settings, Path(tried.plan))
    plan = read_json(tried.plan)
    for variant in plan["variants"]:
        for one in variant["runs"]:
            trained = one["training"] is not None
            made = [
                {**row, "reference": row["response"], "prediction": text}
                for row in rows()
                for text in [answer(row, {*variant["defects"]}, one["seed"], trained)]
            ]
            path = Path(tried.predictions(one["prediction"]))
            if not path.exists():  # the first with these answers has the defects that decide them
                write_jsonl(path, made)
    for key in plan["trainings"]:
        write_json(Path(tried.training(key)), {"seconds": 60.0})
    return plan
