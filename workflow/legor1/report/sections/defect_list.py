"""The defects of the published protocol: where each is switched, and where this study has it."""

import math
from collections.abc import Callable, Iterable
from statistics import mean

from markupsafe import Markup

from legor1.core.format import percent
from legor1.core.layout import IN_RUN
from legor1.published import defects
from legor1.report.citation import Cited, Record, Table, pointer
from legor1.report.study import Study

Sides = tuple[list[str], list[str]]  # protocols or experiments with a defect, and without
Find = Callable[[Study], Sides]

CLIPPED = "completions/clipped_ratio"  # the share of answers that the limit cut off, of each step
BUDGET = {"rows_per_task": "rows", "tasks": "tasks", "lora": "LoRA"}


def table(study: Study) -> Table:
    """Return every defect, its switch, and what of this study has it and what has not."""
    rows: list[list[str]] = []
    for name, defect in defects.DEFECTS.items():
        switch, find = ("protocols.*.defects", _prepared(name))
        if defect.stage == "training":
            switch, find = TRAINING[name]
        elif defect.stage == "evaluation":
            switch, find = EVALUATION.get(name, ("evaluation.protocols", _evaluated))
        lists = (Markup(", ").join(side) or "–" for side in find(study))
        rows.append([name, defect.meaning, Markup("<code>{}</code>").format(switch), *lists])
    return ["Defect", "What happens", "Switch", "On in", "Off in"], rows


def _sides(names: Iterable[str], has: Callable[[str], bool]) -> Sides:
    names = list(names)
    return [name for name in names if has(name)], [name for name in names if not has(name)]


def _blocks(study: Study, *methods: str) -> dict[str, Record]:
    """Return the settings of the experiments that are trained by one of these methods."""
    trained = {e.name: study.settings(e) for e in study.experiments if e.method in methods}
    return {name: block for name, block in trained.items() if block}


def _prepared(name: str) -> Find:
    def find(study: Study) -> Sides:
        chosen = {p: study.config["protocols"][p]["defects"] for p in study.audits}
        return _sides(chosen, lambda protocol: name in defects.chosen(chosen[protocol]))

    return find


def _evaluated(study: Study) -> Sides:
    names = [f"evaluation {protocol}" for protocol in study.protocols]
    return _sides(names, lambda name: name == "evaluation thesis")


def _sampled(study: Study) -> Sides:
    """All decode alike, or those that sample are compared with those that do not."""
    of_all = study.config.get("inference", {}).get("sampling")
    inference = {e.name: study.settings(e).get("inference", {}) for e in study.experiments}
    on, off = _sides(inference, lambda name: bool(inference[name].get("sampling", of_all)))
    return (on, off) if on and off else ([], on + off)


def _unequal(study: Study) -> Sides:
    """A GRPO experiment is unequal to SFT where no SFT of its protocol shares its budget."""
    trained, on = _blocks(study, "grpo", "sft"), list[str]()
    for name, block in _blocks(study, "grpo").items():
        differing = {
            other: _differing(block, trained[other])
            for other in _blocks(study, "sft")
            if trained[other].get("protocol") == block.get("protocol")
        }
        if differing and all(differing.values()):
            nearest = min(differing, key=lambda other: len(differing[other]))
            on.append(f"{name} beside {nearest} ({', '.join(differing[nearest])})")
    return on, [] if on else list(trained)


def _differing(block: Record, other: Record) -> list[str]:
    unlike = [label for key, label in BUDGET.items() if block.get(key) != other.get(key)]
    rates = {each.get("training", {}).get("learning_rate") for each in (block, other)}
    return unlike + (["learning rate"] if len(rates) > 1 else [])


def _setting(key: str, has: Callable[[object], bool]) -> tuple[str, Find]:
    """Return a setting of GRPO trainings, and what finds those where its value is the defect."""

    def find(study: Study) -> Sides:
        blocks = _blocks(study, "grpo")
        return _sides(blocks, lambda name: has(blocks[name].get("training", {}).get(key)))

    return f"experiments.*.training.{key}", find


def _clipped(study: Study) -> Sides:
    """Whether answers were cut off is measured: their mean share over the steps."""
    on, off = list[str](), list[str]()
    for name in _blocks(study, "grpo"):
        logged = [row.get(CLIPPED) for row in study.trainings[name].history]
        shares = [share for share in logged if share is not None and math.isfinite(share)]
        if shares:
            where = pointer(IN_RUN.history(name), CLIPPED)
            share = Cited(percent(mean(shares)), mean(shares), where, "mean")
            text = Markup("{} ({} % of answers)").format(name, share)
            (on if max(shares) else off).append(text)
    return on, off


TRAINING: dict[str, tuple[str, Find]] = {
    "unequal_budget": ("experiments.*: rows_per_task, tasks, lora, learning_rate", _unequal),
    "two_generations": _setting("generations", lambda number: number == 2),
    "truncated_thinking": ("experiments.*.training.max_new_tokens", _clipped),
    "batch_task": _setting("suite", lambda suite: suite == "thesis"),
    "matched_only_reward": _setting("suite", lambda suite: suite not in (None, "sound")),
}
EVALUATION = {"sampled_vs_greedy": ("experiments.*.inference.sampling", _sampled)}
