"""Rotary positions of a prompt with images."""

from collections.abc import Sequence
from typing import Any

import torch


def rope_positions(
    backbone: Any, ids: torch.Tensor, grids: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, int]:
    """Return a prompt's rotary positions, (3, 1, tokens), and that of the token behind it.

    Always computed and passed on: ``backbone`` would else use what it remembers of the last call.

    Args:
        backbone: Qwen2.5-VL's, tower and decoder.
        ids: (tokens,).
        grids: of its images, (3,) each.
    """
    if not grids:
        return torch.arange(len(ids), device=ids.device).expand(3, 1, -1), len(ids)
    types = ids.eq(backbone.config.image_token_id).int()[None]
    positions, _ = backbone.get_rope_index(ids[None], types, image_grid_thw=torch.stack([*grids]))
    return positions, int(positions.max()) + 1
