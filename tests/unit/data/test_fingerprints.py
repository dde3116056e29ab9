"""Fingerprints: the same picture is known again, and another is not taken for it."""

import random

import numpy as np
import pytest
from PIL import Image
from trees import BOX, Tree

from legor1.core.errors import UserError
from legor1.data.fingerprints import (
    COLUMNS,
    DISTANCE,
    Lookalikes,
    fingerprints,
    read_images,
    write_images,
)
from legor1.data.lego_arta.index import write_index
from legor1.data.split import group
from legor1.data.synthetic.dataset import synthesize


def apart(first, second):
    return (int(first, 16) ^ int(second, 16)).bit_count()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Step and part images of four drawn manuals."""
    tree = tmp_path_factory.mktemp("drawn") / "tree"
    synthesize(tree, manuals=4, steps=3, objects=3, seed=5, image_sizes=[(480, 360)])
    return tree


def names(tree):
    return sorted(path.relative_to(tree).as_posix() for path in tree.glob("lego/*/images/*.png"))


def test_copies_are_near_and_other_pictures_are_not(drawn):
    for name in names(drawn):
        with Image.open(drawn / name) as image:
            small = image.convert("RGB").resize((240, 180))
            small.save(drawn / "copy.jpg", quality=85)
        original, copy = fingerprints([name, "copy.jpg"], drawn)
        assert original["sha256"] != copy["sha256"]
        assert apart(original["perceptual_hash"], copy["perceptual_hash"]) <= DISTANCE
    by_manual = [(row["image"].split("/")[1], row) for row in fingerprints(names(drawn), drawn)]
    for manual, one in by_manual:
        for other, two in by_manual:
            if manual != other:
                assert apart(one["perceptual_hash"], two["perceptual_hash"]) > DISTANCE


def test_a_reencoded_picture_joins_two_manuals(drawn):
    rows = fingerprints(names(drawn), drawn)
    with Image.open(drawn / rows[0]["image"]) as image:
        image.convert("RGB").save(drawn / "copy.jpg", quality=85)
    rows += [
        row | {"image": "lego/other/images/1.jpg"} for row in fingerprints(["copy.jpg"], drawn)
    ]
    groups, links = group({row["image"]: row["image"].split("/")[1] for row in rows}, rows)
    assert [g for g in groups if len(g) > 1] == [[rows[0]["image"].split("/")[1], "other"]]
    (link,) = links
    assert link["by"] == "perceptual" and "lego/other/images/1.jpg" in link["images"]


def test_blank_pictures_join_nothing(tmp_path):
    for name, colour in (("a.png", 255), ("b.png", 254)):
        Image.new("RGB", (60, 40), (colour,) * 3).save(tmp_path / name)
    rows = fingerprints(["a.png", "b.png"], tmp_path)
    assert [row["perceptual_hash"] for row in rows] == ["", ""]
    assert group({"a.png": "a", "b.png": "b"}, rows) == ([["a"], ["b"]], [])


def test_lookalikes_are_those_of_a_plain_search():
    rng = random.Random(0)
    hashes = [rng.getrandbits(256) for _ in range(60)]
    for number in hashes[:20]:
        for bit in rng.sample(range(256), rng.randrange(1, 2 * DISTANCE)):
            number ^= 1 << bit
        hashes.append(number)
    texts = [f"{number:064x}" for number in hashes]
    near = Lookalikes(texts)
    for text in texts:
        wanted = {other: apart(text, other) for other in texts if apart(text, other) <= DISTANCE}
        assert near.of(text) == wanted
    assert near.of("") == {}


def test_the_file_is_read_back_and_the_same_on_two_workers(drawn, tmp_path):
    write_index(drawn, tmp_path / "instances.parquet", tmp_path / "quarantine.jsonl")
    for workers in (1, 2):
        out = tmp_path / f"{workers}.parquet"
        said = write_images(tmp_path / "instances.parquet", drawn, out, workers)
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()
    rows = read_images(tmp_path / "1.parquet")
    assert len(rows) == said["images"] > 20
    assert all(list(row) == list(COLUMNS) for row in rows)
    assert {(row["width"], row["height"]) for row in rows} == {(480, 360)}


def test_what_cannot_be_decoded_keeps_a_row_with_the_reason(tmp_path):
    tree = Tree(tmp_path / "tree")
    name = "object_dataset/lego/m/images/1_eop.png"
    tree.image(name)
    whole = (tree.root / name).read_bytes()
    (tree.root / name).write_bytes(whole[: len(whole) // 2])
    (row,) = fingerprints([name], tree.root)
    assert row["problem"] == "image unreadable"
    assert row["perceptual_hash"] == ""


def test_what_is_not_there_is_named(tmp_path):
    tree = Tree(tmp_path / "tree")
    tree.objects("m/images/1_eop.png", BOX)
    for name in ("absent.png", "../outside.png"):
        with pytest.raises(UserError, match="Remedy"):
            fingerprints([name], tree.root)


def test_a_file_of_something_else_is_named(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros(3))
    with pytest.raises(UserError, match="legor1 fingerprint"):
        read_images(tmp_path / "images.npy")
    with pytest.raises(UserError, match="legor1 fingerprint"):
        read_images(tmp_path / "absent.parquet")
