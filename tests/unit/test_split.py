"""Splitting by whole manuals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import BOX, Tree, check_schema, instances

from legor1.data.index import index
from legor1.data.split import choose, manual_groups, split, write_split
from legor1.errors import UserError
from legor1.files import read_json


def manuals_of(side):
    return {name.split("/")[1] for name in side}


def test_manuals_are_whole_and_every_row_is_on_one_side():
    table = instances({f"m{i}": i + 1 for i in range(12)})
    sides = split(table, seed=42, test_fraction=0.25)
    assert sorted(sides["train"] + sides["test"]) == sorted(table["instance_id"])
    assert not manuals_of(sides["train"]) & manuals_of(sides["test"])
    assert sides["train"] == sorted(sides["train"])


def test_the_fraction_is_met_in_every_task():
    table = instances({f"m{i}": 4 + i % 3 for i in range(40)})
    table = table[(table["task"] != "object") | (table["manual"] > "m2")]  # uneven tasks
    test = split(table, seed=1, test_fraction=0.25)["test"]
    for task, rows in table.groupby("task"):
        share = sum(name.startswith(task) for name in test) / len(rows)
        assert share == pytest.approx(0.25, abs=0.02)


def test_the_seed_alone_decides():
    table = instances({f"m{i:02d}": 5 for i in range(20)})
    shuffled = table.sample(frac=1, random_state=0)
    first = split(table, seed=1, test_fraction=0.3)
    assert split(shuffled, seed=1, test_fraction=0.3) == first
    assert split(table, seed=2, test_fraction=0.3)["test"] != first["test"]


def test_two_manuals_make_one_of_each():
    for fraction in (0.01, 0.5, 0.99):
        sides = split(instances({"a": 2, "b": 2}), seed=0, test_fraction=fraction)
        assert len(sides["train"]) == len(sides["test"]) == 8


@settings(derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=2, max_size=7),
    st.floats(0.05, 0.95),
    st.integers(0, 3),
)
def test_no_single_move_or_exchange_would_be_better(counts, fraction, seed):
    counts = np.array([(a, b + 1) for a, b in counts])
    tested = choose(counts, fraction, np.random.default_rng(seed))
    assert 0 < tested.sum() < len(counts)

    def distance(chosen):
        return (((counts[chosen].sum(axis=0) / counts.sum(axis=0)) - fraction) ** 2).sum()

    for i in range(len(counts)):
        for j in range(i, len(counts)):
            other = tested.copy()
            other[[i, j]] = ~other[[i, j]]
            exchange = i == j or tested[i] != tested[j]
            if exchange and 0 < other.sum() < len(counts):
                assert distance(tested) <= distance(other) + 1e-9


@pytest.fixture
def sharing(tmp_path):
    """Six manuals; b shares an image with c, and c another with e."""
    tree = Tree(tmp_path / "tree")
    for number, manual in enumerate("abcdef"):
        tree.objects(f"{manual}/images/1_eop.png", BOX, colour=number)
    for number, (first, second) in enumerate(["bc", "ce"], 100):
        tree.objects(f"{first}/images/{number}_eop.png", BOX, colour=number)
        tree.objects(f"{second}/images/{number}_other_eop.png", BOX, colour=number)
    return tree


def test_manuals_that_share_an_image_stay_together(sharing):
    table = pd.DataFrame(index(sharing.root).records)
    groups = manual_groups(table, sharing.root)
    assert groups == {"a": "a", "b": "b", "c": "b", "d": "d", "e": "b", "f": "f"}
    for seed in range(8):
        sides = split(table, seed=seed, test_fraction=0.4, tree=sharing.root)
        assert len({"b", "c", "e"} & manuals_of(sides["test"])) in (0, 3)


def test_images_that_are_gone_are_named(sharing):
    table = pd.DataFrame(index(sharing.root).records)
    (sharing.root / "object_dataset/lego/d/images/1_eop.png").unlink()
    with pytest.raises(UserError, match=r"d/images/1_eop.png.*Remedy: "):
        split(table, seed=0, test_fraction=0.4, tree=sharing.root)


def test_what_cannot_be_split_is_said(tmp_path):
    table = instances({"a": 3, "b": 3})
    with pytest.raises(UserError, match="at least two different manuals"):
        split(table[table["manual"] == "a"], seed=0, test_fraction=0.25)
    tree = Tree(tmp_path / "tree")
    for manual in "ab":
        tree.objects(f"{manual}/images/1_eop.png", BOX)
    with pytest.raises(UserError, match=r"2 manual\(s\)"):
        split(pd.DataFrame(index(tree.root).records), seed=0, test_fraction=0.25, tree=tree.root)
    for fraction in (0, 1, -0.5, float("nan")):
        with pytest.raises(UserError, match="Remedy: give a number between 0 and 1"):
            split(table, seed=0, test_fraction=fraction)
    with pytest.raises(UserError, match=r"Unknown protocol 'rows'.*sound"):
        split(table, protocol="rows", seed=0, test_fraction=0.25)


def test_the_file_is_read_back(tmp_path):
    sides = split(instances({"a": 2, "b": 1, "c": 1}), seed=7, test_fraction=0.25)
    counts = write_split(sides, tmp_path / "split.json")
    assert read_json(tmp_path / "split.json") == sides
    assert counts == {"train": 12, "test": 4}
    check_schema("split", sides)
