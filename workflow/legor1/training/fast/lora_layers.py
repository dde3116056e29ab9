"""What the fast forms of LoRA's layers ask of a layer."""

from typing import Any

import torch


def sole_adapter(layer: Any) -> str | None:
    """Return the name of the one adapter that a LoRA layer applies as plainly as LoRA is written.

    None where adapters are off, merged or several, of a variant such as DoRA, or on a layer that
    is no plain linear one, a quantised one for example.
    """
    if layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        return None
    (name,) = layer.active_adapters
    plain = type(layer.get_base_layer()) is torch.nn.Linear
    return name if plain and name in layer.lora_A and name not in layer.lora_variant else None
