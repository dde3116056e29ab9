"""A completion in its parts: what is thinking, and what is not."""

import re
from itertools import groupby
from operator import itemgetter

_THINKING = re.compile(r"<think>.*?(?P<end></think>|\Z)", re.I | re.S)
_CLOSING = re.compile(r"</think>", re.I)
_ANSWER = re.compile(r"<answer>", re.I)

Part = tuple[bool, str]  # whether it is thinking, and the text with its tags


def parts(text: str) -> list[Part]:
    """Return the parts of a completion in order; together they are the text as it is.

    What counts as thinking is what ``answers.extract`` passes over: what a pair of tags holds, what
    stands before a closing tag that was never opened, and from an opening tag that was never
    closed up to an answer tag, or the end.
    """
    found: list[Part] = []
    at = 0
    for match in _THINKING.finditer(text):
        found += [(False, text[at : match.start()]), *_opened(match)]
        at = match.end()
    found.append((False, text[at:]))
    return _joined(_closed(found))


def _opened(match: re.Match[str]) -> list[Part]:
    answer = None if match["end"] else _ANSWER.search(match[0])
    cut = answer.start() if answer else len(match[0])
    return [(True, match[0][:cut]), (False, match[0][cut:])]


def _closed(found: list[Part]) -> list[Part]:
    """Make thinking of all that stands before the last closing tag outside of thinking."""
    for i in range(len(found) - 1, -1, -1):
        thinking, text = found[i]
        closing = None if thinking else [*_CLOSING.finditer(text)]
        if closing:
            cut = closing[-1].end()
            before = [(True, earlier) for _, earlier in found[:i]]
            return [*before, (True, text[:cut]), (False, text[cut:]), *found[i + 1 :]]
    return found


def _joined(found: list[Part]) -> list[Part]:
    """Return the parts that are not empty, neighbours of a kind as one."""
    kinds = groupby((part for part in found if part[1]), key=itemgetter(0))
    return [(thinking, "".join(text for _, text in group)) for thinking, group in kinds]
