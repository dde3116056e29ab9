"""What booklets call parts and steps: one fixed convention, and any number of random ones."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from legor1.core.files import beside
from legor1.data.synthetic.bricks import KINDS, Brick
from legor1.data.synthetic.looks import COLOURS

BARE = "Take an empty baseplate."  # before a model's first step
SIZES = ((1, 1), (1, 2), (2, 2), (2, 4))
_DATA = beside(__file__)
PROMPTS: dict[str, str] = _DATA["prompts"]  # of the tasks
PLACES: dict[str, tuple[float, float]] = _DATA["places"]  # phrase: which end of x and of y
VERBS, SENTENCES, TOPS = _DATA["verbs"], _DATA["sentences"], _DATA["tops"]
SLOTS: dict[str, str] = _DATA["slots"]  # of an instruction: how each is written
SHORT_FIRST, LONG_FIRST = "{short}x{long}", "{long}x{short}"
RARE = 0.03  # share of the random conventions that name a part's long side first
STRICT = 0.15  # share of the random conventions by which a part must also stand where it should


class Top(NamedTuple):
    """The place on top of a brick, which has this colour and kind."""

    colour: str
    kind: str


Place = str | Top  # a phrase of ``PLACES``, or on top of something
Value = Place | tuple[int, int]
VALUES: dict[str, tuple[Value, ...]] = {
    "colour": COLOURS, "size": SIZES, "kind": (*KINDS,), "place": (*PLACES,)
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A kind of brick and how many of it are needed."""

    count: int
    colour: str
    size: tuple[int, int]
    kind: str

    @property
    def label(self) -> str:
        """What the dataset calls it, such as ``2 4x2 red brick``."""
        return MANUAL.label(self)

    def brick(self, turned: bool) -> Brick:
        """Return one such brick at the origin, its long side along y, or x if ``turned``."""
        width, depth = self.size[::-1] if turned else self.size
        return Brick(0, 0, 0, width, depth, self.kind, self.colour)


@dataclass(frozen=True)
class Instruction:
    """What a step tells the builder."""

    part: Part
    place: Place

    def value(self, attribute: str) -> Value:
        """Return an attribute, one of ``VALUES``."""
        return self.place if attribute == "place" else getattr(self.part, attribute)

    def others(self, attribute: str, standing: Iterable[Brick]) -> list[Value]:
        """Return the other values that it might have, given the bricks that stand there."""
        tops = {Top(b.colour, b.kind): None for b in standing if attribute == "place"}
        return [v for v in (*VALUES[attribute], *tops) if v != self.value(attribute)]

    def but(self, attribute: str, value: Value) -> "Instruction":
        """Return this instruction with another value of one attribute."""
        changed: dict = {attribute: value}
        if attribute == "place":
            return replace(self, **changed)
        return replace(self, part=replace(self.part, **changed))


@dataclass(frozen=True)
class Convention:
    """How a booklet words its labels and instructions, by templates of ``str.format``.

    ``strict``: a step is done correctly only if the parts stand where it says.
    """

    part: str = "{count} {size} {colour} {kind}"
    size: str = LONG_FIRST
    sentence: str = SENTENCES[0]
    top: str = TOPS[0]
    verbs: tuple[str, ...] = ("place", "put", "stack")  # one part, several, on top of something
    strict: bool = True

    def label(self, part: Part, ending: str = "") -> str:
        """Return the name of a part, with ``ending`` behind its kind."""
        values = {"size": self.size_name(part.size), "kind": part.kind + ending}
        return self.part.format(count=part.count, colour=part.colour, **values)

    def size_name(self, size: tuple[int, int]) -> str:
        """Return the words for a size, such as ``4x2``."""
        return self.size.format(short=min(size), long=max(size))

    def phrase(self, place: Place) -> str:
        """Return the words for a place."""
        return self.top.format(**place._asdict()) if isinstance(place, Top) else place

    def words(self, instruction: Instruction) -> str:
        """Return the sentence for an instruction."""
        part, place = instruction.part, instruction.place
        verb = self.verbs[2 if isinstance(place, Top) else part.count > 1]
        named = self.label(part, "s" if part.count > 1 else "")
        text = self.sentence.format(verb=verb, part=named, place=self.phrase(place))
        return text[0].upper() + text[1:]

    def accepts(self, claim: Instruction, done: Instruction | None) -> bool:
        """Return whether ``claim`` counts as done correctly where ``done`` was, or nothing."""
        if done is None:
            return False
        return claim == (done if self.strict else replace(done, place=claim.place))

    def slots(self, text: str) -> dict[str, str]:
        """Return the ``SLOTS`` of a sentence, none if it is not worded by this convention."""
        match = self._pattern.fullmatch(text.strip())
        return {name: value.lower() for name, value in match.groupdict().items()} if match else {}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pattern = re.escape(self.sentence.replace("{part}", self.part))
        for name, form in SLOTS.items():
            plural = "s?" if name == "kind" else ""
            pattern = pattern.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>{form}){plural}")
        return re.compile(pattern, re.IGNORECASE)


MANUAL = Convention()


def random_convention(rng: np.random.Generator) -> Convention:
    """Return a random convention, none with the labels or the verbs of ``MANUAL``."""
    while True:
        name = " ".join(rng.permutation(["{colour}", "{size}", "{kind}"]))
        convention = Convention(
            part=str(rng.choice([f"{{count}} {name}", f"{name} ({{count}})"])),
            size=LONG_FIRST if rng.random() < RARE else SHORT_FIRST,
            sentence=str(rng.choice(SENTENCES)),
            top=str(rng.choice(TOPS)),
            verbs=tuple(rng.choice(VERBS, 3, replace=False).tolist()),
            strict=rng.random() < STRICT,
        )
        labels = convention.part, convention.size
        if labels != (MANUAL.part, MANUAL.size) and convention.verbs != MANUAL.verbs:
            return convention
