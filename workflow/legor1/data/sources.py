"""Where the dataset and the base model lie, and the notes of it: the tree's link, model.json."""

import hashlib
import os
from pathlib import Path

from legor1.core.errors import UserError
from legor1.core.files import sha256, write_json
from legor1.data.manifest import Manifest, for_each, visible

# What the pipeline reads; the hub's repositories hold more.
PATTERNS = {
    "dataset": [
        "json_data/**",
        "qwen_data/**",
        "lego/**",
        "object_dataset/**",
        "step_dataset/**",
        "train_test_example/**",
    ],
    "model": ["*.json", "*.safetensors", "*.txt", "*.jinja"],
}
# Hidden files are no part of a tree, nor is what `..` leads to. Here * stands for / too.
IGNORED = {"dataset": [".*", "*/.*"], "model": [".*", "*/*"]}


def download_folder(kind: str, repo: str, revision: str) -> Path:
    """Return where the pipeline downloads to, relative to the project."""
    return Path("resources", f"{kind}s", repo, revision)


def link_dataset(folder: Path, out: Path) -> None:
    """Make ``out`` a link to the dataset tree in ``folder``, so that nothing is copied.

    Raises:
        UserError: ``folder`` is no dataset tree, or ``out`` is a real folder.
    """
    if not list(folder.glob("qwen_data/**/*.jsonl")):
        raise UserError(
            f"{folder} is no dataset tree (it has no qwen_data/**/*.jsonl). "
            "Remedy: name the folder that holds qwen_data/."
        )
    if out.exists() and not out.is_symlink():
        raise UserError(
            f"{out} is a folder of its own, so it is not replaced by a link to {folder}. "
            "Remedy: remove it, or choose another `run` in the config."
        )
    out.unlink(missing_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.symlink_to(folder.resolve(), target_is_directory=True)


def sizes(folder: Path) -> str:
    """Return a hash of the names and sizes of a dataset tree's files, which are not read."""
    names = sorted(visible(folder.resolve()))
    listed = "".join(f"{name} {(folder / name).lstat().st_size}\n" for name in names)
    return hashlib.sha256(listed.encode()).hexdigest()


def model_files(folder: Path) -> list[Path]:
    """Return the files in ``folder`` that make up a model, sorted; its card and logs do not."""
    found = {path for pattern in PATTERNS["model"] for path in folder.glob(pattern)}
    return sorted(path for path in found if not path.name.startswith("."))


def describe_model(
    folder: Path, source: str, revision: str | None, out: Path, record: Manifest | None = None
) -> None:
    """Write ``model.json``: where the base model lies and what its files hash to.

    The path is relative to ``out``'s folder, so that both can move together.

    Args:
        folder: holds the model.
        source: owner/name on the hub, or a folder.
        revision: commit, tag or branch as it was asked for, if it was downloaded.
        out: the file to write.
        record: the download's manifest, if it was downloaded; its files were just checked.

    Raises:
        UserError: ``folder`` holds no model.
    """
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} holds no model (config.json and *.safetensors). "
            "Remedy: choose base.source: shipped, rebuild or huggingface."
        )
    write_json(
        out,
        {
            "schema_version": 1,
            "source": source,
            "revision": revision,
            "commit": record["source"]["commit"] if record else None,
            "path": os.path.relpath(folder, out.parent),
            "files": _hashes(folder, record),
        },
    )


def _hashes(folder: Path, record: Manifest | None) -> dict[str, str]:
    if record:
        return {name: one["sha256"] for name, one in record["files"].items()}
    names = [path.name for path in model_files(folder)]
    return dict(zip(names, for_each(names, lambda name: sha256(folder / name)), strict=True))
