"""What was run, with what, and what was not: plain facts about a study."""

import json
import re
from collections import Counter
from typing import Any

from legor1.report.study import Experiment, Record, Study
from legor1.report.tables import TASKS

HOME = re.compile(r"(?:/home|/Users)/[^/\s\"']+|/root(?=/|$)")
UNKNOWN = "not recorded"

Rows = list[list[str]]


def portable(text: str) -> str:
    """Return ``text`` with home folders as ``~``: a report names no person and no machine."""
    return HOME.sub("~", text)


def not_run(study: Study) -> list[str]:
    """Return what a reader might think was run, and was not."""
    config, said = study.config, []
    if config["dataset"]["source"] == "synthetic":
        said.append(
            "The real LEGO-ARTA. The scenes were drawn by this pipeline, in the dataset's layout; "
            "they are far simpler than printed booklets."
        )
    if config["base"]["source"] in ("shipped", "rebuild"):
        said.append(
            "Qwen2.5-VL-7B-Instruct. The model is a Qwen2.5-VL of the same make, but "
            f"{base_size(study)}, trained from scratch on other drawn scenes."
        )
    if config["device"] == "cpu":
        said.append("A GPU. Everything ran on processors, in " + config["precision"] + ".")
    said.append(
        f"A second seed. The intervals tell how the numbers vary with the test examples, not "
        f"with the luck of a training; this is seed {config['seed']} alone."
    )
    if "thesis" not in study.protocols:
        said.append("The thesis's own evaluation. Its figures are quoted from the thesis.")
    scored = {key[3] for key in study.scores}
    missing = [one.name for one in study.experiments if one.name not in scored]
    if missing:
        said.append(f"No results were found for {', '.join(missing)}.")
    return said


def is_demonstration(study: Study) -> bool:
    """Tell whether data or model stand in for the real ones."""
    config = study.config
    own_base = config["base"]["source"] in ("shipped", "rebuild")
    return own_base or config["dataset"]["source"] == "synthetic"


def thesis_note(study: Study) -> str:
    """Return what stands above the thesis's figures."""
    if is_demonstration(study):
        return "7B model, real data, own protocol: not comparable"
    return "own protocol: not directly comparable"


def base_size(study: Study) -> str:
    """Return how many parameters the base model has, as far as a training recorded it."""
    for training in study.trainings.values():
        if "total_parameters" in training.facts:
            own = training.facts["total_parameters"] - training.facts["trainable_parameters"]
            return f"with {large(own)} parameters"
    return "tiny"


def large(count: float) -> str:
    """Return a count in words: 950, 12.3 thousand, 1.6 million, 7.6 billion."""
    for power, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if count >= power:
            return f"{count / power:.1f} {word}"
    return f"{count:.0f}"


def duration(seconds: float) -> str:
    """Return a duration as a person would say it, such as ``4 min 05 s``."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def size(count: float) -> str:
    """Return a number of bytes with its unit."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def recipes(study: Study) -> Rows:
    """Return one row a setting: its name, then every experiment's value."""
    blocks = [flat(study.config["experiments"].get(one.name, {})) for one in study.experiments]
    names = dict.fromkeys(name for block in blocks for name in block)
    return [[name, *(block.get(name, "–") for block in blocks)] for name in names]


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Return nested mappings as one, its keys joined by dots and its values as text."""
    if not isinstance(value, dict):
        return {prefix: _text(value)}
    pairs = [flat(inner, f"{prefix}.{key}" if prefix else str(key)) for key, inner in value.items()]
    return {key: text for pair in pairs for key, text in pair.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "none" if value is None else portable(str(value))


def trained(study: Study) -> list[Experiment]:
    """Return the experiments that are trained."""
    return [one for one in study.experiments if one.method != "baseline"]


def costs(study: Study) -> Rows:
    """Return one row a fact about the trainings, with the value of each of them."""
    facts = [study.trainings[one.name].facts for one in trained(study)]
    shown = {
        "Wall time": lambda f: duration(f["seconds"]),
        "Peak memory": lambda f: f"{f['peak_memory_mib']:,.0f} MiB",
        "Optimiser steps": lambda f: f"{f['steps']:,}",
        "Training rows": lambda f: f"{f['rows']:,}",
        "Trained parameters": lambda f: f"{f['trainable_parameters']:,}",
        "All parameters": lambda f: f"{f['total_parameters']:,}",
        "Commit": lambda f: commit(f["provenance"]),
    }
    return [[name, *(_or_unknown(show, one) for one in facts)] for name, show in shown.items()]


def _or_unknown(show: Any, facts: Record) -> str:
    try:
        return str(show(facts))
    except (KeyError, TypeError, ValueError):
        return UNKNOWN


def commit(provenance: Record) -> str:
    """Return the short commit and whether the code differed from it."""
    if not provenance.get("commit"):
        return UNKNOWN
    changed = {True: ", with changes", False: "", None: ", changes unknown"}
    return str(provenance["commit"])[:12] + changed[provenance.get("dirty")]


def counts(study: Study) -> Rows:
    """Return one row a task: its name, and how many examples were trained and tested on.

    Where several protocols prepared the data, each has its rows, under its name.
    """
    rows: Rows = []
    for protocol, split in study.splits.items():
        sides = [
            Counter(ident.partition("/")[0] for ident in split.get(side, []))
            for side in ("train", "test")
        ]
        under = f"{protocol}: " if len(study.splits) > 1 else ""
        rows += [
            [f"{under}{TASKS[task]} ({task})", *(f"{side[task]:,}" for side in sides)]
            for task in TASKS
            if any(side[task] for side in sides)
        ]
        if any(sides):
            rows.append([f"{under}All", *(f"{side.total():,}" for side in sides)])
    return rows


def quarantine(study: Study) -> Rows:
    """Return one row a reason: why rows of the dataset were set aside, and how many."""
    reasons = Counter(str(row["reason"]) for row in study.quarantine)
    return [[reason, f"{count:,}"] for reason, count in reasons.most_common()]


def data(study: Study) -> dict[str, str]:
    """Return facts about the dataset and its split."""
    config, facts = study.config["dataset"], {}
    source = config["source"]
    facts["Source"] = {"synthetic": "drawn by this pipeline", "directory": "a local folder"}.get(
        source, source
    )
    settings = config[source] if isinstance(config.get(source), dict) else {}
    facts |= {key.replace("_", " ").capitalize(): text for key, text in flat(settings).items()}
    if study.manifest:
        files = f"{len(study.manifest['files']):,} files"
        facts["Tree"] = f"{files}, {size(study.manifest['total_bytes'])}"
    for protocol, split in study.splits.items():
        if split:
            share = f"{split['test_fraction']:.0%} test"
            name = f"Split of {protocol}" if len(study.splits) > 1 else "Split"
            facts[name] = f"{split['protocol']}, seed {split['seed']}, {share}"
    return facts


def base(study: Study) -> dict[str, str]:
    """Return facts about the base model: where it comes from, its size and its files' hashes."""
    facts = {"Size": base_size(study).removeprefix("with ")}
    for key in ("source", "revision"):
        if study.base.get(key):
            facts[key.capitalize()] = portable(str(study.base[key]))
    hashes = study.base.get("files", {})
    return facts | {name: f"sha256 {str(value)[:16]}…" for name, value in hashes.items()}


def machine(study: Study) -> dict[str, str]:
    """Return facts about code and machine."""
    given = study.provenance
    facts = {"Commit": commit(given)}
    for key, label in (("python", "Python"), ("platform", "Platform"), ("cpus", "CPU cores")):
        if given.get(key):
            facts[label] = str(given[key])
    return facts


def versions(study: Study) -> dict[str, str]:
    """Return the version of each package."""
    return flat(study.provenance.get("versions", {}))


def command(study: Study) -> str:
    """Return the command that makes the run again: the recorded one, else by its config."""
    recorded = study.provenance.get("command")
    if recorded:
        return portable(recorded if isinstance(recorded, str) else " ".join(map(str, recorded)))
    return f"snakemake --configfile results/{study.config['run']}/config.json"


def config_text(study: Study) -> str:
    """Return the resolved config as indented JSON."""
    return portable(json.dumps(study.config, indent=2, ensure_ascii=False))
