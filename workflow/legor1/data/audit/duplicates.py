"""Test images that were trained on: the same bytes, or a picture that looks the same."""

from legor1.data.audit.finding import Finding, share
from legor1.data.audit.material import Material
from legor1.data.fingerprints import Lookalikes


def findings(material: Material) -> list[Finding]:
    """Return the shares of test rows whose image has a copy, or nearly one, on the train side."""
    names = material.split["test"] if material.prints else []
    manuals = [material.rows[name]["manual"] for name in names]
    images = [material.rows[name]["image"] for name in names]
    trained = {material.rows[name]["image"] for name in material.split["train"]}
    contents = {material.content(image) for image in trained}
    same = [material.content(image) in contents for image in images]
    near = Lookalikes(material.prints[image][1] for image in (trained if images else ()))
    alike = [bool(near.of(material.prints[image][1])) for image in images]
    return [
        share("row_split", None, "test rows whose image's bytes are trained on", same, manuals),
        share(
            "row_split", None, "test rows whose picture looks like one trained on", alike, manuals
        ),
    ]
