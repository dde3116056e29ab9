"""The defects of the published protocol: where each is switched, and where this study has it."""

import math
from collections.abc import Callable, Iterable
from statistics import mean
from typing import Any

from markupsafe import Markup

from legor1.core.format import percent
from legor1.core.layout import IN_RUN
from legor1.published import defects
from legor1.report.citation import Cited, pointer
from legor1.report.study import Experiment, Study

Where = list[str]  # names of protocols or experiments
Find = Callable[[Study], tuple[Where, Where]]  # where a defect is on, and where it is off
Table = tuple[list[str], list[list[str]]]

CLIPPED = "completions/clipped_ratio"  # the share of answers that the limit cut off, of each step


def table(study: Study) -> Table:
    """Return every defect, its switch, and what of this study has it and what has not."""
    rows: list[list[str]] = []
    for name, defect in defects.DEFECTS.items():
        switch, find = ("protocols.*.defects", _prepared(name))
        if defect.stage == "training":
            switch, find = TRAINING[name]
        elif defect.stage == "evaluation":
            switch, find = EVALUATION.get(name, ("evaluation.protocols", _evaluated))
        on, off = find(study)
        lists = (Markup(", ").join(one) or "–" for one in (on, off))
        rows.append([name, defect.meaning, Markup("<code>{}</code>").format(switch), *lists])
    return ["Defect", "What happens", "Switch", "On in", "Off in"], rows


def _prepared(name: str) -> Find:
    def find(study: Study) -> tuple[Where, Where]:
        chosen = {p: study.config["protocols"][p]["defects"] for p in study.audits}
        return _sides(chosen, lambda protocol: name in defects.chosen(chosen[protocol]))

    return find


def _evaluated(study: Study) -> tuple[Where, Where]:
    on, off = _sides(study.protocols, lambda protocol: protocol == "thesis")
    return [f"evaluation {one}" for one in on], [f"evaluation {one}" for one in off]


def _sampled(study: Study) -> tuple[Where, Where]:
    """All decode alike, or those that sample are compared with those that do not."""
    sampled = {one.name: _sampling(study, one) for one in study.experiments}
    on, off = _sides(sampled, lambda name: bool(sampled[name]))
    return (on, off) if on and off else ([], on + off)


def _sampling(study: Study, one: Experiment) -> object:
    own = study.config["experiments"].get(one.name, {}).get("inference", {})
    return own.get("sampling", study.config.get("inference", {}).get("sampling"))


def _unequal(study: Study) -> tuple[Where, Where]:
    """A GRPO experiment is unequal to SFT where no SFT of its protocol shares its budget."""
    blocks = study.config["experiments"]
    trained = [blocks[one.name] | {"name": one.name} for one in _named(study, "grpo", "sft")]
    on: dict[str, None] = {}
    for one in (block for block in trained if block["method"] == "grpo"):
        others = [
            block
            for block in trained
            if block["method"] == "sft" and block.get("protocol") == one.get("protocol")
        ]
        differing = {other["name"]: _differing(one, other) for other in others}
        if others and all(differing.values()):
            nearest = min(differing, key=lambda name: len(differing[name]))
            said = ", ".join(differing[nearest])
            on[f"{one['name']} beside {nearest} ({said})"] = None
    return list(on), [] if on else [block["name"] for block in trained]


def _differing(one: dict, other: dict) -> list[str]:
    named = {"rows_per_task": "rows", "tasks": "tasks", "lora": "LoRA"}
    rates = (block.get("training", {}).get("learning_rate") for block in (one, other))
    unlike = [said for key, said in named.items() if one.get(key) != other.get(key)]
    return unlike + (["learning rate"] if len({*rates}) > 1 else [])


def _setting(key: str, has: Callable[[Any], bool]) -> tuple[str, Find]:
    """Return a setting of GRPO trainings, and what finds those where its value is the defect."""

    def find(study: Study) -> tuple[Where, Where]:
        blocks = study.config["experiments"]
        names = [one.name for one in _named(study, "grpo")]
        return _sides(names, lambda name: has(blocks[name].get("training", {}).get(key)))

    return f"experiments.*.training.{key}", find


def _clipped(study: Study) -> tuple[Where, Where]:
    """Whether answers were cut off is measured: their mean share over the steps."""
    on, off = list[str](), list[str]()
    for one in _named(study, "grpo"):
        logged = [row.get(CLIPPED) for row in study.trainings[one.name].history]
        shares = [share for share in logged if share is not None and math.isfinite(share)]
        if shares:
            where = pointer(IN_RUN.history(one.name), CLIPPED)
            share = Cited(percent(mean(shares)), mean(shares), where, "mean")
            text = Markup("{} ({} % of answers)").format(one.name, share)
            (on if max(shares) else off).append(text)
    return on, off


def _named(study: Study, *methods: str) -> list[Experiment]:
    known = study.config["experiments"]
    return [one for one in study.experiments if one.method in methods and one.name in known]


def _sides(names: Iterable[str], has: Callable[[str], bool]) -> tuple[Where, Where]:
    names = list(names)
    return [one for one in names if has(one)], [one for one in names if not has(one)]


TRAINING: dict[str, tuple[str, Find]] = {
    "unequal_budget": ("experiments.*: rows_per_task, tasks, lora, learning_rate", _unequal),
    "two_generations": _setting("generations", lambda number: number == 2),
    "truncated_thinking": ("experiments.*.training.max_new_tokens", _clipped),
    "batch_task": _setting("suite", lambda suite: suite == "thesis"),
    "matched_only_reward": _setting("suite", lambda suite: suite not in (None, "sound")),
}
EVALUATION = {"sampled_vs_greedy": ("experiments.*.inference.sampling", _sampled)}
