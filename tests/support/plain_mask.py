"""The oracle of attention in packed rows: a mask of every pair of tokens."""

import torch


def plain_mask(groups) -> torch.Tensor:
    """Return the mask (1, 1, length, length) of a row of groups, true where a token sees one.

    A group is the length of its prompt and those of its completions.
    """
    parts = [
        (number, part)
        for number, (prompt, completions) in enumerate(groups)
        for part, length in enumerate([prompt, *completions])
        for _ in range(length)
    ]
    seen = [[mine == other and part in (0, own) for other, part in parts] for mine, own in parts]
    return torch.tensor(seen).tril()[None, None]
