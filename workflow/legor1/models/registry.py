"""The known model families, and the one that a base model belongs to."""

from collections.abc import Mapping
from pathlib import Path

from legor1.core.errors import UserError
from legor1.core.files import read_json
from legor1.models.family import Architecture, Model, ModelFamily
from legor1.models.qwen2_5_vl import Qwen25VL
from legor1.models.qwen3_5 import Qwen35
from legor1.models.qwen3_vl import Qwen3VL

DEFAULT: ModelFamily = Qwen25VL()  # where no model is at hand, and of the base built here
FAMILIES = {family.model_type: family for family in (DEFAULT, Qwen3VL(), Qwen35())}


def base_folder(base: Path) -> Path:
    """Return the folder of the base model that ``base`` (a ``model.json``) points to."""
    folder = (base.parent / read_json(base)["path"]).resolve()
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{base} points to {folder}, which holds no model. Remedy: delete {base} and run again."
        )
    return folder


def family_of(folder: Path) -> ModelFamily:
    """Return the family of the base model in ``folder``; where its config is silent, the default.

    A UserError says that it is of none that is known.
    """
    path = folder / "config.json"
    model_type = read_json(path).get("model_type", DEFAULT.model_type)
    if model_type not in FAMILIES:
        raise UserError(
            f"{path} is of the model type {model_type!r}, which no family here has. Known: "
            f"{', '.join(sorted(FAMILIES))}. Remedy: choose a base of one of these, or add its "
            "family (docs/family.md)."
        )
    return FAMILIES[model_type]


def family_of_model(model: Model) -> ModelFamily:
    """Return the family of a model loaded from a folder whose family is known, or its backbone."""
    return FAMILIES[model.config.model_type]


def family_of_base(base: Mapping, folder: Path | None = None) -> ModelFamily:
    """Return the family of the config's ``base`` block, whose model lies in ``folder`` if here."""
    if folder is not None and (folder / "config.json").is_file():
        return family_of(folder)
    repo = base["huggingface"]["repo"] if base["source"] == "huggingface" else None
    return next((family for family in FAMILIES.values() if repo in family.known), DEFAULT)


def architecture_of_base(base: Mapping, folder: Path | None) -> Architecture:
    """Return the architecture of the config's ``base``: of its ``folder``, if here, else as known.

    A UserError says that the model is neither here nor known.
    """
    repo = base["huggingface"]["repo"] if base["source"] == "huggingface" else base["source"]
    family = family_of_base(base, folder)
    if folder is not None and (folder / "config.json").is_file():
        return family.architecture(repo, read_json(folder / "config.json"))
    if base["source"] == "rebuild":
        model, vocabulary = base["rebuild"]["model"], base["rebuild"]["vocabulary"]
        text = {"vocab_size": vocabulary, "max_position_embeddings": 4096} | model["text"]
        config = {"text_config": text, "vision_config": model["vision"]}
        return family.architecture(repo, config | {"tie_word_embeddings": True})
    if repo in family.known:
        return family.architecture(repo, family.known[repo])
    known = (name for family in FAMILIES.values() for name in family.known)
    raise UserError(
        f"the sizes of {repo} are not known before it is here. Remedy: run `snakemake fetch` "
        f"first, or choose a known base: {', '.join(known)}."
    )
