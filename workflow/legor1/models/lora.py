"""LoRA adapters: their settings, and reading one that may come from elsewhere.

peft and vLLM follow whatever an adapter's settings say: patterns that never stop matching, modules
to import, other methods. So settings that no training here would have written are refused.
"""

import math
import re
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel
from safetensors import SafetensorError, safe_open

from legor1.core.errors import UserError
from legor1.core.files import read_json
from legor1.models.family import Model, Recipe
from legor1.models.loading import load_model
from legor1.models.registry import FAMILIES

WEIGHTS = "adapter_model.safetensors"
REMEDY = "Remedy: train the adapter again, or restore it as it was published."
KEYS = ("r", "lora_alpha", "lora_dropout", "target_modules")
# What an adapter may say of itself: nothing follows from it.
FREE = {
    "base_model_name_or_path", "inference_mode", "init_lora_weights", "peft_version", "revision",
    "target_modules", "task_type",
}  # fmt: skip


def settings(r: int, alpha: int, dropout: float, targets: str | list[str]) -> LoraConfig:
    """Return LoRA's settings on ``targets``: a regular expression, such as a family's, or names."""
    return LoraConfig(
        r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets, task_type="CAUSAL_LM"
    )


def read_settings(folder: Path) -> LoraConfig:
    """Return the settings of the adapter in ``folder``.

    A UserError names a key that is not as in an adapter that is trained here.
    """
    path = folder / "adapter_config.json"
    content = read_json(path)
    given: dict = content if isinstance(content, dict) else {}
    known: list[Any] = [given.get(name) for name in KEYS]
    r, alpha, dropout, targets = known
    named = isinstance(targets, list) and all(re.fullmatch(r"\w+", str(name)) for name in targets)
    sound = {
        "r": type(r) is int and 0 < r <= 1024,
        "lora_alpha": type(alpha) in (int, float) and 0 < alpha < math.inf,
        "lora_dropout": type(dropout) in (int, float) and 0 <= dropout < 1,
        "target_modules": named or targets in [family.lora_targets for family in FAMILIES.values()],
    }
    wrong = [name for name, fits in sound.items() if not fits]
    if not wrong:
        ours = settings(r, alpha, dropout, targets)
        expected = ours.to_dict()
        wrong = [name for name in given.keys() - FREE if given[name] != expected.get(name)]
    if not wrong:
        return ours
    name = min(wrong)
    raise UserError(
        f"{path} has {name} {given.get(name)!r}, which no adapter trained here has. {REMEDY}"
    )


def checked_weights(folder: Path) -> Path:
    """Return the file with the weights of the adapter in ``folder``.

    A UserError says that it is missing or damaged, or has a weight that is not a finite number.
    """
    path = folder / WEIGHTS
    try:
        with safe_open(path, "pt") as weights:
            for name in weights.keys():  # noqa: SIM118  (not a dict)
                if not weights.get_tensor(name).isfinite().all():
                    raise UserError(
                        f"{path}: {name} holds NaN or infinity, so its training diverged or the "
                        f"file is damaged. {REMEDY}"
                    )
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read: {error}. {REMEDY}") from error
    return path


def load_adapted(folder: Path, adapter: Path | None, recipe: Recipe) -> Model:
    """Return the model for inference, on its device, with the adapter attached if one is given.

    A UserError says that the adapter is damaged, of another model, or none that is trained here.
    """
    model = load_model(folder, recipe)
    model = model if adapter is None else attached(model, adapter)
    return model.to(recipe["device"]).eval()


def attached(model: Model, adapter: Path, further: LoraConfig | None = None) -> PeftModel:
    """Return ``model`` with an adapter, to be trained ``further`` with these settings if given.

    Raises as ``load_adapted``, and if the adapter's own settings differ in more than dropout.
    """
    config, path, folder = read_settings(adapter), checked_weights(adapter), model.name_or_path
    if further and (config.r, config.lora_alpha) != (further.r, further.lora_alpha):
        raise UserError(
            f"{path} has r {config.r} and alpha {config.lora_alpha}, but the recipe's lora "
            f"{further.r} and {further.lora_alpha}. Remedy: set lora to those of the adapter."
        )
    try:
        model = PeftModel.from_pretrained(
            model, adapter, config=further or config, is_trainable=further is not None
        )
    except RuntimeError as error:  # shapes; the second line names the first weight
        fault = " ".join(str(error).split("\n\t")[:2])
        raise UserError(f"{path} does not fit the model in {folder}: {fault} {REMEDY}") from error
    with safe_open(path, "pt") as weights:
        saved = set(weights.keys())
    named = {name.replace(".default.", ".") for name, _ in model.named_parameters()}
    adapted = {name for name in named if ".lora_" in name}
    if saved != adapted:  # peft would go on, with those that are missing as if untrained
        raise UserError(
            f"{path} does not fit the model in {folder}: {min(saved ^ adapted)} is in one of "
            f"them alone. {REMEDY}"
        )
    return model
