"""Which prompts go through the model together: alike in length, the longest first.

Padding is work for nothing, so neighbours in length share a batch; and one that does not fit into
memory is met at once, not after hours.
"""

from collections.abc import Iterator, Sequence


def batches(
    lengths: Sequence[int], new: int, size: int | None = None, tokens: int | None = None
) -> Iterator[list[int]]:
    """Yield the numbers of the prompts of each batch; each prompt is in one.

    Args:
        lengths: tokens of each prompt.
        new: tokens that an answer has at most.
        size, tokens: as of ``room``.
    """
    order = sorted(range(len(lengths)), key=lambda at: (-lengths[at], at))
    while order:
        count = room(lengths[order[0]], new, size, tokens)
        yield order[:count]
        order = order[count:]


def room(longest: int, new: int, size: int | None = None, tokens: int | None = None) -> int:
    """Return how many prompts a batch has whose longest prompt has ``longest`` tokens.

    Args:
        longest: all others are padded to it.
        new: tokens that an answer has at most.
        size: prompts a batch, or
        tokens: of a batch, padding and answers included. A prompt that takes more is alone.

    Raises:
        ValueError: both or neither of ``size`` and ``tokens`` are given.
    """
    if (size is None) == (tokens is None):
        raise ValueError("a batch has a size or a budget of tokens")
    if size is not None:
        return size
    assert tokens is not None
    return max(1, tokens // (longest + new))
