"""Test images that were trained on: the same bytes, or a picture that looks the same."""

import numpy as np

from legor1.data.audit.findings import Finding, share
from legor1.data.audit.material import Material

NEAR = 4  # bits of 64 in which the perceptual hashes of two pictures that look the same may differ
_BATCH = 1 << 22  # pairs compared at once


def findings(material: Material) -> list[Finding]:
    """Return the shares of test rows whose image has a copy, or nearly one, on the train side."""
    names = material.split["test"] if material.prints else []
    manuals = [material.rows[name]["manual"] for name in names]
    images = [material.rows[name]["image"] for name in names]
    trained = {material.rows[name]["image"] for name in material.split["train"]}
    contents = {material.content(image) for image in trained}
    same = [material.content(image) in contents for image in images]
    alike = _looks_like_one_of(material, images, sorted(trained)) if images else []
    return [
        share("row_split", None, "test rows whose image's bytes are trained on", same, manuals),
        share(
            "row_split", None, "test rows whose picture looks like one trained on", alike, manuals
        ),
    ]


def _looks_like_one_of(material: Material, images: list[str], others: list[str]) -> list[bool]:
    hashes = np.unique(_hashes(material, others))
    queried, place = np.unique(_hashes(material, images), return_inverse=True)
    size = max(1, _BATCH // max(1, len(hashes)))
    near = [
        (np.bitwise_count(queried[start : start + size, None] ^ hashes) <= NEAR).any(axis=1)
        for start in range(0, len(queried), size)
    ]
    return np.concatenate(near)[place].tolist()


def _hashes(material: Material, images: list[str]) -> np.ndarray:
    return np.array([int(material.prints[image][1], 16) for image in images], dtype=np.uint64)
