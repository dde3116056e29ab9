"""Which prompts go through the model together: those alike in length, the longest first.

Neighbours in length need little padding; and a batch too large for memory fails at once, not after
hours.
"""

from collections.abc import Iterator, Sequence


def batches(
    lengths: Sequence[int], new: int, size: int | None = None, tokens: int | None = None
) -> Iterator[list[int]]:
    """Yield each batch as indices into ``lengths``; the other arguments are those of ``room``."""
    order = sorted(range(len(lengths)), key=lambda at: (-lengths[at], at))
    while order:
        count = room(lengths[order[0]], new, size, tokens)
        yield order[:count]
        order = order[count:]


def room(longest: int, new: int, size: int | None = None, tokens: int | None = None) -> int:
    """Return how many prompts fit into a batch: its ``size``, or as many as its ``tokens`` hold.

    One of the two is given. Each prompt takes the tokens of the ``longest``, to which it is padded,
    and of an answer, at most ``new``. A prompt that takes more than ``tokens`` is alone.
    """
    return size or max(1, (tokens or 0) // (longest + new))
