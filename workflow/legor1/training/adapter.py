"""The trained adapter: saved once, read back from disk, and published with its card and facts."""

import resource
from pathlib import Path
from typing import Any

import torch
from deepspeed.utils import safe_get_full_fp32_param
from safetensors import safe_open

from legor1.core import provenance
from legor1.core.files import (
    atomic_folder,
    read_json,
    sha256,
    share,
    write_json,
    write_jsonl,
    write_text,
)
from legor1.training import model_card, read_back
from legor1.training.history import numbers


def publish(job: Any, trainer: Any, seconds: float) -> None:
    """Write ``adapter/``, ``history.jsonl`` and ``run.json`` into ``job.out``.

    ``run.json`` goes first and comes last, so that it marks the whole.

    Args:
        job: an ``experiment.Job``.
        trainer: one of TRL's, its training ended.
        seconds: that the training took, earlier attempts included.

    Raises:
        RuntimeError: the saved adapter is not what was trained; nothing was published.
    """
    (job.out / "run.json").unlink(missing_ok=True)
    history = list(map(numbers, trainer.state.log_history))
    model = trainer.accelerator.unwrap_model(trainer.model)
    facts = collect(job, trainer, seconds)
    with atomic_folder(job.out / "adapter") as folder:
        save(model, folder, facts["base"])
        facts["read_back"] = read_back.compare(job, model, folder)
        write_text(folder / "README.md", model_card.render(facts, history))
    write_jsonl(job.out / "history.jsonl", history)
    write_json(job.out / "run.json", facts)


def to_full_precision(model: Any) -> None:
    """Give the trained weights the float32 values that the optimiser kept of them.

    All processes call it together: each has a part of the values.
    """
    for weight in model.parameters():
        if weight.requires_grad:
            kept = safe_get_full_fp32_param(weight)
            weight.data = weight.data.float() if kept is None else kept


def save(model: Any, folder: Path, base: dict[str, Any]) -> None:
    """Save the adapter alone, naming the base as ``model.json`` does, not by where it lies here.

    Raises:
        RuntimeError: the file does not hold exactly the trained weights.
    """
    settings = model.peft_config["default"]
    settings.base_model_name_or_path = base["source"]
    settings.revision = base["commit"] or base["revision"]
    model.save_pretrained(folder, selected_adapters=["default"], save_embedding_layers=False)
    share(folder)
    with safe_open(folder / "adapter_model.safetensors", "pt") as weights:
        saved = set(weights.keys())
    named = model.named_parameters()
    trained = {name.replace(".default.", ".") for name, p in named if p.requires_grad}
    if saved != trained:
        name = min(saved ^ trained)
        raise RuntimeError(f"trained or saved, but not both: {name}. Nothing was published.")


def collect(job: Any, trainer: Any, seconds: float) -> dict[str, Any]:
    """Return the facts of a training, as ``run.json`` has them (``schemas/run.schema.json``)."""
    parameters = list(trainer.model.parameters())
    return {
        "schema_version": 1,
        "experiment": job.recipe["experiment"],
        "method": job.recipe["method"],
        "recipe": job.recipe,
        "base": read_json(job.base),
        "attention": trainer.model.config._attn_implementation,  # in the recipe: what was asked
        "processes": trainer.args.world_size,
        "data": {
            "conversations": sha256(job.conversations),
            "manifest": sha256(job.manifest) if job.manifest else None,
        },
        "rows": len(trainer.train_dataset),
        "steps": trainer.state.global_step,
        "resumed": [log["step"] for log in trainer.state.log_history if "resumed" in log],
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "total_parameters": sum(p.numel() for p in parameters),
        "seconds": round(seconds, 1),
        "peak_memory_mib": peak_memory_mib(),
        "provenance": provenance.collect(),
    }


def peak_memory_mib() -> float:
    """Return the peak memory of this process: on the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
