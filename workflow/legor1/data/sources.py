"""What the dataset and the base model consist of: the tree's manifest and link, model.json.

A manifest has every file's size and SHA-256, to tell trees apart.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NotRequired, TypedDict, TypeVar

from legor1.core.errors import UserError
from legor1.core.files import Rejected, locate, read_json, sha256, write_json
from legor1.core.layout import DIALOGUES
from legor1.core.progress import Progress

# What the pipeline reads; the hub's repositories hold more.
FOLDERS = ("json_data", "qwen_data", "lego", "object_dataset", "step_dataset")
PATTERNS = {
    "dataset": [f"{folder}/**" for folder in FOLDERS],
    "model": ["*.json", "*.safetensors", "*.txt", "*.jinja"],
}
# Hidden files are no part of a tree, nor is what `..` leads to. Here * stands for / too.
IGNORED = {"dataset": [".*", "*/.*"], "model": [".*", "*/*"]}
RECORD = ".manifest.json"  # in a downloaded folder: the manifest of what was downloaded, and whence
READERS = 4  # threads; hashing and reading both let other threads run

T = TypeVar("T")


class Entry(TypedDict):
    """What a manifest has of a file; its size is in bytes."""

    size: int
    sha256: str


class Manifest(TypedDict):
    """The content of manifest.json; ``files`` by posix path relative to the tree.

    Of a download, ``source`` has the ``repo``, the ``revision`` as asked for, and the ``commit``.
    """

    schema_version: int
    files: dict[str, Entry]
    total_bytes: int
    source: NotRequired[dict[str, str]]


def download_folder(kind: str, repo: str, revision: str) -> Path:
    """Return where the pipeline downloads to, relative to the project."""
    return Path("resources", f"{kind}s", repo, revision)


def link_dataset(folder: Path, out: Path, files: str = DIALOGUES) -> None:
    """Make ``out`` a link to the dataset tree in ``folder``, so that nothing is copied.

    A UserError says that ``folder`` has none of the ``files``, or that ``out`` is a real folder.
    """
    if not list(folder.glob(files)):
        raise UserError(
            f"{folder} is no dataset tree (it has no {files}). "
            f"Remedy: name the folder that holds {files.partition('/')[0]}."
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
    paths = {path for pattern in PATTERNS["model"] for path in folder.glob(pattern)}
    return sorted(path for path in paths if not path.name.startswith("."))


def describe_model(
    folder: Path, source: str, revision: str | None, out: Path, record: Manifest | None = None
) -> None:
    """Write ``model.json``: where the base model lies and what its files hash to.

    The path is relative to ``out``'s folder, so that both can move together. ``source`` is a
    repository on the hub, or a folder; of a download, ``revision`` is as it was asked for and
    ``record`` its manifest, whose files were just checked. A UserError says if there is no model.
    """
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} holds no model (config.json and *.safetensors). "
            "Remedy: choose base.source: shipped, rebuild or huggingface."
        )
    if record:
        hashes = {name: entry["sha256"] for name, entry in record["files"].items()}
    else:
        names = [path.name for path in model_files(folder)]
        hashes = for_each(names, lambda name: sha256(folder / name))
    facts = {
        "schema_version": 1,
        "source": source,
        "revision": revision,
        "commit": record["source"]["commit"] if record else None,
        "path": os.path.relpath(folder, out.parent),
        "files": hashes,
    }
    write_json(out, facts)


def write_manifest(tree: Path, out: Path) -> dict[str, int]:
    """Write manifest.json and return the number of files and bytes."""
    content = manifest(tree)
    write_json(out, content)
    return {"files": len(content["files"]), "bytes": content["total_bytes"]}


def manifest(tree: Path) -> Manifest:
    """Return the content of manifest.json.

    Hidden files and folders are left out, since downloads leave their own notes there. A tree that
    was downloaded must still be what was downloaded, and its repository and commit are named. A
    UserError names a file that differs or leads out of the tree, or a folder without files.
    """
    root = Path(tree).resolve()
    names = sorted(visible(root))
    if not names:
        raise UserError(
            f"{tree} is not a folder with files in it. "
            "Remedy: give the dataset's folder, or draw one with 'legor1 synthesize'."
        )
    entries, record = _entries(root, names), recorded(root)
    if record:
        _compare(root, entries, record["files"])
    return describe(entries, record["source"] if record else None)


def describe(entries: dict[str, Entry], source: dict[str, str] | None = None) -> Manifest:
    """Return a manifest of ``entries``, in the order of their names."""
    total = sum(entry["size"] for entry in entries.values())
    files = dict(sorted(entries.items()))
    content = Manifest(schema_version=1, files=files, total_bytes=total)
    if source:
        content["source"] = source
    return content


def verify(tree: Path, manifest: Manifest) -> None:
    """Check that the tree holds the manifest's files; a UserError names the first that differs."""
    root = Path(tree).resolve()
    _compare(root, _entries(root, sorted(manifest["files"])), manifest["files"])


def recorded(folder: Path) -> Manifest | None:
    """Return the manifest that a finished download left in ``folder``, if there is one."""
    path = Path(folder) / RECORD
    return read_json(path) if path.is_file() else None


def visible(root: Path) -> list[str]:
    """Return the relative posix paths of the files below ``root`` that are not hidden."""
    names = []
    for folder, folders, entries in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [Path(folder, name) for name in entries if not name.startswith(".")]
    return [path.relative_to(root).as_posix() for path in names]


def for_each(names: Iterable[str], act: Callable[[str], T]) -> dict[str, T]:
    """Return name → what ``act`` makes of it; several are read at a time, with progress shown."""
    names = list(names)
    with ThreadPoolExecutor(min(READERS, os.cpu_count() or 1)) as pool:
        results = Progress(pool.map(act, names), "Checking", len(names), unit="files")
        return dict(zip(names, results, strict=True))


def entry(root: Path, name: str) -> Entry:
    """Return the entry of a file below ``root``, a resolved path; raises as ``locate``."""
    path = locate(root, name)
    return Entry(size=path.stat().st_size, sha256=sha256(path))


def _entries(root: Path, names: Iterable[str]) -> dict[str, Entry]:
    def known(name: str) -> Entry:
        try:
            return entry(root, name)
        except (Rejected, OSError) as error:
            raise UserError(
                f"{root / name}: {error}. Remedy: fetch or draw the dataset again."
            ) from error

    return for_each(names, known)


def _compare(root: Path, actual: Mapping[str, Entry], wanted: Mapping[str, Entry]) -> None:
    for name in sorted(actual.keys() | wanted.keys()):
        if actual.get(name) != wanted.get(name):
            how = "is not in" if name not in wanted else "differs from"
            raise UserError(
                f"{root / name} {how} the manifest. Remedy: fetch or draw the dataset again, "
                f"or make a new manifest (of a downloaded folder that you changed on purpose, "
                f"delete {RECORD})."
            )
