"""Which instances are trained on and tested on, by row and by whole manuals."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import BOX, Tree, check_schema, instances, records_of

from legor1.core.errors import UserError
from legor1.core.files import read_json
from legor1.data.fingerprints import fingerprints
from legor1.data.split import choose, split, write_split


def rows(manuals):
    return instances(manuals).to_dict("records")


def manuals_of(side):
    return {name.split("/")[1] for name in side}


def test_manuals_are_whole_and_every_row_is_on_one_side():
    table = rows({f"m{i}": i + 1 for i in range(12)})
    sides = split(table, seed=42, test_fraction=0.25)
    assert sorted(sides["train"] + sides["test"]) == sorted(row["instance_id"] for row in table)
    assert not manuals_of(sides["train"]) & manuals_of(sides["test"])
    assert sides["train"] == sorted(sides["train"])
    assert sides["groups"]["compared"] == "manuals"


def test_the_fraction_is_met_in_every_task():
    table = rows({f"m{i:02d}": 4 + i % 3 for i in range(40)})
    table = [row for row in table if row["task"] != "object" or row["manual"] > "m05"]
    sides = split(table, seed=1, test_fraction=0.25)
    for counts in sides["tasks"].values():
        assert counts["test"] / sum(counts.values()) == pytest.approx(0.25, abs=0.04)


def test_the_seed_alone_decides():
    table = rows({f"m{i:02d}": 5 for i in range(20)})
    for protocol in ("sound", "thesis"):
        first = split(table, protocol=protocol, seed=1, test_fraction=0.3)
        assert split(table[::-1], protocol=protocol, seed=1, test_fraction=0.3) == first
        other = split(table, protocol=protocol, seed=2, test_fraction=0.3)
        assert other["test"] != first["test"]


def test_a_new_manual_moves_few_others_across():
    manuals = {f"m{i:02d}": 5 for i in range(20)}
    before = split(rows(manuals), seed=3, test_fraction=0.25)
    after = split(rows(manuals | {"new": 5}), seed=3, test_fraction=0.25)
    moved = manuals_of(before["test"]) ^ manuals_of(after["test"])
    assert len(moved - {"new"}) <= 2


def test_two_manuals_make_one_of_each():
    for fraction in (0.01, 0.5, 0.99):
        sides = split(rows({"a": 2, "b": 2}), seed=0, test_fraction=fraction)
        assert len(sides["train"]) == len(sides["test"]) == 8


@settings(derandomize=True, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=2, max_size=9),
    st.floats(0.05, 0.95),
    st.integers(0, 3),
)
def test_what_is_tested_is_a_part_and_no_later_group_would_bring_it_nearer(counts, fraction, seed):
    groups = {f"g{i}": Counter(object=a, state=b + 1) for i, (a, b) in enumerate(counts)}
    tested = choose(groups, fraction, seed)
    assert 0 < len(tested) < len(groups)
    assert tested == choose(dict(reversed(groups.items())), fraction, seed)


def test_the_thesis_splits_each_task_by_row_and_a_falsified_state_goes_with_its_true_one():
    table = rows({f"m{i}": 10 for i in range(8)})
    sides = split(table, protocol="thesis", seed=42, test_fraction=0.25)
    assert sides["rule"] == "rows"
    assert sides["tasks"] == {
        "grounding": {"train": 60, "test": 20},
        "object": {"train": 60, "test": 20},
        "state": {"train": 120, "test": 40},
    }
    states = {name for name in sides["test"] if name.startswith("state")}
    assert {f"{name}_fake1" for name in states if "_fake" not in name} < states
    assert manuals_of(sides["train"]) & manuals_of(sides["test"])


def test_the_switch_decides_between_rows_and_manuals():
    table = rows({"a": 4, "b": 4, "c": 4})
    options = {"seed": 0, "test_fraction": 0.25}
    by_rows = split(table, switches={"row_split": True}, **options)
    assert by_rows["test"] == split(table, protocol="thesis", **options)["test"]
    by_manuals = split(table, protocol="thesis", switches={"row_split": False}, **options)
    assert by_manuals["test"] == split(table, **options)["test"]


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
    table = records_of(sharing)
    stored = fingerprints([row["image"] for row in table], sharing.root)
    for seed in range(8):
        sides = split(table, seed=seed, test_fraction=0.4, images=stored)
        assert sides["groups"]["joined"] == [["b", "c", "e"]]
        assert {link["by"] for link in sides["groups"]["links"]} == {"content"}
        assert len({"b", "c", "e"} & manuals_of(sides["test"])) in (0, 3)
        check_schema("split", sides)


def test_images_without_fingerprint_are_named(sharing):
    table = records_of(sharing)
    stored = fingerprints([row["image"] for row in table], sharing.root)
    with pytest.raises(UserError, match=r"1 images have no fingerprint.*Remedy"):
        split(table, seed=0, test_fraction=0.4, images=stored[1:])


def test_what_cannot_be_split_is_said(tmp_path):
    table = rows({"a": 3, "b": 3})
    with pytest.raises(UserError, match="at least two manuals"):
        split([row for row in table if row["manual"] == "a"], seed=0, test_fraction=0.25)
    with pytest.raises(UserError, match="grounding task, which has one row"):
        split([table[0]], protocol="thesis", seed=0, test_fraction=0.25)
    tree = Tree(tmp_path / "tree")
    for manual in "ab":
        tree.objects(f"{manual}/images/1_eop.png", BOX)
    same = records_of(tree)
    prints = fingerprints([row["image"] for row in same], tree.root)
    with pytest.raises(UserError, match="2 manuals that all show the same pictures"):
        split(same, seed=0, test_fraction=0.25, images=prints)
    with pytest.raises(UserError, match=r"protocol 'rows'.*sound"):
        split(table, protocol="rows", seed=0, test_fraction=0.25)


def test_the_file_is_read_back(tmp_path):
    sides = split(rows({"a": 2, "b": 1, "c": 1}), seed=7, test_fraction=0.25)
    counts = write_split(sides, tmp_path / "split.json")
    assert read_json(tmp_path / "split.json") == sides
    assert counts == {"train": 12, "test": 4, "left_out": 0, "groups": 3, "compared": "manuals"}
    check_schema("split", sides)


@pytest.mark.parametrize("protocol", ["sound", "thesis"])
def test_a_broken_image_costs_its_rows_and_not_the_run(protocol):
    table = rows({f"m{i}": 4 for i in range(4)})
    prints = [
        {"image": image, "sha256": image, "perceptual_hash": "", "problem": ""}
        for image in sorted({row["image"] for row in table})
    ]
    whole = split(table, protocol=protocol, seed=1, test_fraction=0.3, images=prints)
    assert whole["left_out"] == []
    prints[5]["problem"] = "image unreadable"
    content = split(table, protocol=protocol, seed=1, test_fraction=0.3, images=prints)
    lost = [row["instance_id"] for row in table if row["image"] == prints[5]["image"]]
    left_out = [{"instance_id": name, "reason": "image unreadable"} for name in lost]
    assert content["left_out"] == left_out and lost
    assert sorted([*content["train"], *content["test"], *lost]) == sorted(
        row["instance_id"] for row in table
    )
    check_schema("split", content)
