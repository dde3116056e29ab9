"""The card of an adapter: what it is, what it was made of and with, and how to load it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

# As the hub's own cards say. An adapter carries what was learnt from its base.
LICENCES = {
    "Qwen/Qwen2.5-VL-7B-Instruct": "apache-2.0",
    "Qwen/Qwen2.5-VL-3B-Instruct": "qwen-research",
    "workflow/base/tiny": "apache-2.0",
}
METHODS = {
    "sft": "supervised fine-tuning (TRL's SFTTrainer, loss on the answers alone)",
    "grpo": "group-relative policy optimisation (TRL's GRPO)",
}
TEMPLATE = """---
{front}
---
# {experiment}: a LoRA adapter of {base}

Trained by legor1 with {method} on {rows} rows of the tasks {tasks}. It adapts the linear layers of
the language model; the vision tower is the base model's.

## How to load it

```python
from peft import PeftModel
from transformers import AutoModelForImageTextToText

base = AutoModelForImageTextToText.from_pretrained({base!r}{revision})
model = PeftModel.from_pretrained(base, "path/to/this/folder")
```

Images are to be resized to between {min_pixels} and {max_pixels} pixels, as in training: boxes are
in that frame.

## Training

| | at the end |
| --- | --- |
{metrics}

{steps} steps; {trainable:,} of {total:,} parameters trained.

Recipe:

```json
{recipe}
```

## Data

- conversations: SHA-256 `{conversations}`
- manifest of the dataset's files: {manifest}

## Made with

- code: {commit}
- {versions}
- read back from disk, the adapter gives the trained model's log-probabilities of {tokens} tokens to
  within {saved:.2g}, merged into the base to within {merged:.2g} (largest differences)

## Licence

{licence}
"""


def render(facts: Mapping[str, Any], history: Sequence[Mapping[str, float]]) -> str:
    """Return the card as Markdown.

    Args:
        facts: as in ``run.json``.
        history: as in ``history.jsonl``.
    """
    base, recipe, read = facts["base"], facts["recipe"], facts["read_back"]
    revision = base["commit"] or base["revision"]
    return TEMPLATE.format(
        front="\n".join(_front(facts)),
        experiment=facts["experiment"],
        base=base["source"],
        method=METHODS[facts["method"]],
        rows=facts["rows"],
        tasks=", ".join(recipe["tasks"]),
        revision=f", revision={revision!r}" if revision else "",
        **recipe["pixel_budget"],
        metrics="\n".join(f"| {name} | {value:.4g} |" for name, value in _last(history).items()),
        steps=facts["steps"],
        trainable=facts["trainable_parameters"],
        total=facts["total_parameters"],
        recipe=json.dumps(recipe, indent=2),
        conversations=facts["data"]["conversations"],
        manifest=f"SHA-256 `{facts['data']['manifest']}`" if facts["data"]["manifest"] else "none",
        commit=_commit(facts["provenance"]),
        versions=", ".join(f"{k} {v}" for k, v in facts["provenance"]["versions"].items()),
        tokens=read["tokens"],
        saved=read["saved"]["largest"],
        merged=read["merged"]["largest"],
        licence=_licence(base["source"]),
    )


def _front(facts: Mapping[str, Any]) -> list[str]:
    """Return the lines that the hub reads; a folder is no model that it knows."""
    source = facts["base"]["source"]
    licence = LICENCES.get(source)
    lines = ["library_name: peft", "pipeline_tag: image-text-to-text"]
    lines += [f"tags: [lora, {facts['method']}, legor1]"]
    if facts["base"]["commit"]:
        lines += [f"base_model: {source}", "base_model_relation: adapter"]
    if licence == "apache-2.0":
        return [*lines, f"license: {licence}"]
    return [*lines, "license: other", f"license_name: {licence or 'see-base-model'}"]


def _licence(source: str) -> str:
    known = LICENCES.get(source)
    terms = f"`{known}`, that of the base model" if known else "that of the base model"
    return f"{terms}; the training data have terms of their own."


def _last(history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the last logged line of losses and rewards, by name."""
    logged = [row for row in history if "loss" in row]
    # Sorted as in a checkpoint, so that a training that went on from its last one says the same.
    return {k: v for k, v in sorted(logged[-1].items()) if "time" not in k} if logged else {}


def _commit(provenance: Mapping[str, Any]) -> str:
    changed = " with changes" if provenance["dirty"] else ""
    return f"legor1, commit `{provenance['commit']}`{changed}"
