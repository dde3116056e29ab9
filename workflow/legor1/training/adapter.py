"""The trained adapter: saved, compared with its file, and published with its card and facts."""

import json
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from deepspeed.utils import safe_get_full_fp32_param
from peft import PeftModel
from safetensors.torch import load_file

from legor1.core import files, provenance
from legor1.core.templates import rendered
from legor1.models.family import Model
from legor1.models.lora import checked_weights
from legor1.training.callbacks import Job, Trainer, numbers


def publish(job: Job, trainer: Trainer, seconds: float) -> None:
    """Write ``adapter/``, ``history.jsonl`` and ``run.json`` into ``job.out``.

    ``run.json`` is removed first and written last, so that it marks the whole. ``seconds`` is how
    long the training took, earlier attempts included. Nothing is published if ``save`` raises.
    """
    (job.out / "run.json").unlink(missing_ok=True)
    history = list(map(numbers, trainer.state.log_history))
    model = trainer.accelerator.unwrap_model(trainer.model)
    facts = collect(job, trainer, seconds)
    with files.atomic_folder(job.out / "adapter") as folder:
        save(model, folder, facts["base"])
        files.write_text(folder / "README.md", card(facts, history))
    files.write_jsonl(job.out / "history.jsonl", history)
    files.write_json(job.out / "run.json", facts)


def to_full_precision(model: Model) -> None:
    """Give trained weights the optimiser's float32 values; all processes call it together."""
    for weight in model.parameters():
        if weight.requires_grad:
            kept = safe_get_full_fp32_param(weight)
            weight.data = weight.data.float() if kept is None else kept


def save(model: PeftModel, folder: Path, base: Mapping[str, str]) -> None:
    """Save the adapter alone, naming the base as ``model.json`` does, not by where it lies here.

    A RuntimeError says that the file does not hold exactly the trained weights, a UserError that
    one of them is no finite number.
    """
    settings = model.peft_config["default"]
    settings.base_model_name_or_path = base["source"]
    settings.revision = base["commit"] or base["revision"]
    model.save_pretrained(str(folder), selected_adapters=["default"], save_embedding_layers=False)
    files.share(folder)
    saved = load_file(checked_weights(folder))
    named = model.named_parameters()
    trained = {name.replace(".default.", "."): p for name, p in named if p.requires_grad}
    if odd := saved.keys() ^ trained.keys():
        raise RuntimeError(f"trained or saved, but not both: {min(odd)}. Nothing was published.")
    for name, weight in trained.items():
        if not torch.equal(weight.detach().cpu(), saved[name]):
            raise RuntimeError(f"{name} was not saved as it was trained. Nothing was published.")


def collect(job: Job, trainer: Trainer, seconds: float) -> dict:
    """Return the facts of a training, as ``run.json`` has them (``schemas/run.schema.json``)."""
    parameters, start = list(trainer.model.parameters()), job.start_from
    return {
        "schema_version": 1,
        "experiment": job.recipe["experiment"],
        "method": job.recipe["method"],
        "recipe": job.recipe,
        "base": files.read_json(job.base),
        "attention": trainer.model.config._attn_implementation,  # the recipe has what was requested
        "processes": trainer.args.world_size,
        "data": {
            "conversations": files.sha256(job.conversations),
            "manifest": files.sha256(job.manifest) if job.manifest else None,
        },
        "start_from": start
        and {
            "experiment": job.recipe["start_from"],
            "adapter": files.sha256(start / "adapter_model.safetensors"),
        },
        "question": _question(job),
        "rows": len(trainer.train_dataset),
        "steps": trainer.state.global_step,
        "resumed": [log["step"] for log in trainer.state.log_history if "resumed" in log],
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "total_parameters": sum(p.numel() for p in parameters),
        "seconds": round(seconds, 1),
        "peak_memory_mib": peak_memory_mib(),
        "provenance": provenance.collect(),
    }


def _question(job: Job) -> dict[str, object]:
    """Return a question that was trained on, and in which size and frame its image is seen."""
    row, settings = job.rows()[0], job.family.image_settings(job.budget)
    seen = {"image_settings": settings, "frame": row["box_frame"], "scale": job.budget.box_scale}
    return {"prompt": row["prompt"]} | seen


def peak_memory_mib() -> float:
    """Return the peak memory of this process: on the GPU where there is one, else resident."""
    if torch.cuda.is_available():
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def card(facts: Mapping, history: Sequence[Mapping[str, float]]) -> str:
    """Return the model card, given the contents of ``run.json`` and ``history.jsonl``."""
    recipe = json.dumps(facts["recipe"], indent=2)
    return rendered("adapter_card.md.j2", {"facts": facts, "history": history, "recipe": recipe})
