"""Loading the base model, its processor and an adapter, the same for training and inference."""

import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationConfig,
)
from transformers.utils import is_flash_attn_2_available

from legor1.core.boxes import PixelBudget
from legor1.core.errors import UserError
from legor1.core.files import read_json
from legor1.models.processing import check_frames
from legor1.models.registry import family_of, family_of_model

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def base_folder(base: Path) -> Path:
    """Return the folder of the base model that ``base`` (a ``model.json``) points to."""
    folder = (base.parent / read_json(base)["path"]).resolve()
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{base} points to {folder}, which holds no model. Remedy: delete {base} and run again."
        )
    return folder


def load_processor(folder: Path, budget: PixelBudget, *, padding_side: str) -> Any:
    """Return the processor of the model in ``folder``, bound to the pixel budget.

    Raises:
        UserError: the model is of no known family.
        RuntimeError: the processor would resize an image otherwise than ``budget`` says, which
            would put every box into the wrong frame.
    """
    family = family_of(folder)
    processor = AutoProcessor.from_pretrained(folder)
    for name, value in family.image_settings(budget).items():
        setattr(processor.image_processor, name, value)
    processor.tokenizer.padding_side = padding_side
    check_frames(processor.image_processor, budget, family)
    return processor


def context_length(folder: Path) -> int:
    """Return how many tokens the model in ``folder`` can read and write in one go."""
    return AutoConfig.from_pretrained(folder).get_text_config().max_position_embeddings


def usable_attention(wanted: str) -> str:
    """Return the attention to use: SDPA, with a notice, where Flash-Attention-2 cannot be used."""
    if wanted != "flash_attention_2" or is_flash_attn_2_available():
        return wanted
    print(
        "flash_attention_2 cannot be used here, so attention is sdpa, which is slower. Remedy: "
        "pip install flash-attn --no-build-isolation on a machine with a GPU, or set "
        "`attention: sdpa`.",
        file=sys.stderr,
    )
    return "sdpa"


def end_tokens(folder: Path) -> list[int]:
    """Return the tokens with which the model in ``folder`` ends its answers."""
    ends = GenerationConfig.from_pretrained(folder).eos_token_id
    return ends if isinstance(ends, list) else [ends]


def load_model(folder: Path, recipe: dict[str, Any]) -> Any:
    """Return the base model in the recipe's precision, with its attention or else SDPA.

    Of the checkpoint's generation settings it keeps the special tokens alone: transformers would
    fill in the others wherever a caller leaves one open.

    Raises:
        UserError: it is of no known family.
    """
    family_of(folder)
    model = AutoModelForImageTextToText.from_pretrained(
        folder,
        dtype=DTYPES[recipe["precision"]],
        attn_implementation=usable_attention(recipe["attention"]),
    )
    kept = ("bos_token_id", "eos_token_id", "pad_token_id")
    own = model.generation_config
    model.generation_config = GenerationConfig(**{name: getattr(own, name) for name in kept})
    return model


def without_adapter(model: Any) -> Any:
    """Return the base model inside ``model``, which PEFT may have been put around."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def is_frozen(module: Any) -> bool:
    """Return whether nothing in ``module`` is trained."""
    return not any(parameter.requires_grad for parameter in module.parameters())


def freeze_vision(model: Any) -> Any:
    """Return ``model`` with its vision tower kept out of training altogether.

    The trainers make every embedding's output need a gradient and let every block checkpoint its
    activations, the tower's too, although nothing there learns: its blocks would be computed again
    in the backward pass, for gradients that nobody asks for.
    """
    tower: Any = family_of_model(model).tower(model.model)
    tower.requires_grad_(False)
    tower.eval()
    tower.train = lambda mode=True: tower  # blocks checkpoint in training mode alone
    tower.forward = torch.no_grad()(tower.forward)
    return model
