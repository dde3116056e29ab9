from dataclasses import replace

import numpy as np
import pytest

from legor1.data.synthetic.bricks import KINDS, Brick
from legor1.data.synthetic.looks import COLOURS, MANUAL_LOOK, SHADES, WINDOW, in_window, random_look
from legor1.data.synthetic.wording import (
    MANUAL,
    SIZES,
    VALUES,
    Instruction,
    Part,
    Top,
    random_convention,
)

TOLD = Instruction(Part(1, "red", (2, 4), "brick"), "on the left")


def test_no_random_look_is_seen_from_where_the_demos_manuals_are():
    looks = [random_look(np.random.default_rng(seed)) for seed in range(2000)]
    manual = MANUAL_LOOK
    for look in looks:
        away = abs(look.yaw - manual.yaw), abs(look.pitch - manual.pitch)
        assert away[0] >= WINDOW[0] or away[1] >= WINDOW[1]
    assert len({look.yaw for look in looks}) == len(looks)
    assert min(abs(look.yaw - manual.yaw) for look in looks) < WINDOW[0], "a window, not a band"
    assert in_window(manual.yaw, manual.pitch)


def test_random_looks_have_every_colour_with_some_distance_between_them():
    assert tuple(SHADES) == COLOURS
    for seed in range(200):
        shades = [*random_look(np.random.default_rng(seed)).colours.values()]
        assert all(0 <= part <= 255 for shade in shades for part in shade)
        apart = [np.abs(np.subtract(a, b)).max() for a in shades for b in shades if a is not b]
        assert min(apart) > 15


def test_the_datasets_own_wording():
    assert MANUAL.words(TOLD) == "Place 1 4x2 red brick on the left."
    two = Instruction(Part(2, "blue", (1, 2), "plate"), "at the back")
    assert MANUAL.words(two) == "Put 2 2x1 blue plates at the back."
    top = TOLD.but("place", Top("white", "plate"))
    assert MANUAL.words(top) == "Stack 1 4x2 red brick on top of the white plate."
    assert TOLD.part.label == "1 4x2 red brick"


def test_no_random_convention_has_the_datasets_labels_or_verbs_but_all_its_words():
    conventions = [random_convention(np.random.default_rng(seed)) for seed in range(1000)]
    labels = {(convention.part, convention.size) for convention in conventions}
    assert (MANUAL.part, MANUAL.size) not in labels
    assert MANUAL.part in {part for part, _ in labels}
    assert MANUAL.size in {size for _, size in labels}, "rare, or RL would never see it"
    assert MANUAL.verbs not in {convention.verbs for convention in conventions}
    assert len({convention.part for convention in conventions}) == 12
    assert set(MANUAL.verbs) <= {verb for convention in conventions for verb in convention.verbs}
    assert MANUAL.top in {convention.top for convention in conventions}
    assert 0.1 < sum(convention.strict for convention in conventions) / len(conventions) < 0.2


def test_where_the_part_stands_counts_in_strict_booklets_alone():
    lax = replace(MANUAL, strict=False)
    assert MANUAL.accepts(TOLD, TOLD)
    assert not MANUAL.accepts(TOLD.but("place", "at the back"), TOLD)
    assert lax.accepts(TOLD.but("place", Top("red", "brick")), TOLD)
    assert not lax.accepts(TOLD.but("colour", "blue"), TOLD)
    assert not MANUAL.accepts(TOLD, None)
    assert not lax.accepts(TOLD, None)


@pytest.mark.parametrize("place", ["in the middle", Top("black", "brick")])
@pytest.mark.parametrize("count", [1, 2])
def test_slots_are_read_back_from_every_convention(place, count):
    told = Instruction(Part(count, "purple", (1, 2), "plate"), place)
    for seed in range(300):
        convention = random_convention(np.random.default_rng(seed))
        slots = convention.slots(convention.words(told))
        verb = convention.verbs[2 if isinstance(place, Top) else count - 1]
        assert slots == {
            "verb": verb,
            "count": str(count),
            "colour": "purple",
            "size": convention.size_name((1, 2)),
            "kind": "plate",
            "place": convention.phrase(place),
        }
    assert MANUAL.slots("Admire your model") == {}


@pytest.mark.parametrize("attribute", VALUES)
def test_another_value_changes_one_attribute_alone(attribute):
    standing = [Brick(0, 0, 0, 2, 2, "plate", "blue"), Brick(0, 0, 1, 1, 2, "brick", "red")]
    others = TOLD.others(attribute, standing)
    known = {"colour": len(COLOURS), "size": len(SIZES), "kind": len(KINDS), "place": 5 + 2}
    assert len(set(others)) == len(others) == known[attribute] - 1
    for value in others:
        changed = TOLD.but(attribute, value)
        assert [name for name in VALUES if changed.value(name) != TOLD.value(name)] == [attribute]
        assert changed.part.count == TOLD.part.count
