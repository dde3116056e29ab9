"""What a dataset tree consists of: every file's size and SHA-256, to tell trees apart."""

import os
from pathlib import Path
from typing import Any

from legor1 import files
from legor1.data.tree import Rejected, locate
from legor1.errors import UserError


def manifest(tree: Path) -> dict[str, Any]:
    """Return the content of manifest.json: size (bytes) and sha256 by relative posix path.

    Hidden files and folders are left out, since downloads leave their own notes there.

    Raises:
        UserError: no such folder, an empty one, or a link that leads out of it.
    """
    root = Path(tree).resolve()
    names = sorted(_names(root))
    if not names:
        raise UserError(
            f"{tree} is not a folder with files in it. "
            "Remedy: give the dataset's folder, or draw one with 'legor1 synthesize'."
        )
    entries = {name: _entry(root, name) for name in names}
    total = sum(entry["size"] for entry in entries.values())
    return {"schema_version": 1, "files": entries, "total_bytes": total}


def verify(tree: Path, manifest: dict[str, Any]) -> None:
    """Check that the tree holds every file of the manifest, unchanged.

    Raises:
        UserError: names the first file that is missing or differs.
    """
    root = Path(tree).resolve()
    for name, entry in sorted(manifest["files"].items()):
        if _entry(root, name) != entry:
            raise UserError(
                f"{root / name} differs from the manifest. "
                "Remedy: fetch or draw the dataset again, or make a new manifest."
            )


def write_manifest(tree: Path, out: Path) -> dict[str, int]:
    """Write manifest.json and return the number of files and bytes."""
    content = manifest(tree)
    files.write_json(out, content)
    return {"files": len(content["files"]), "bytes": content["total_bytes"]}


def _names(root: Path) -> list[str]:
    names = []
    for folder, folders, entries in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [Path(folder, name) for name in entries if not name.startswith(".")]
    return [path.relative_to(root).as_posix() for path in names]


def _entry(root: Path, name: str) -> dict[str, Any]:
    try:
        path = locate(root, name)
        return {"size": path.stat().st_size, "sha256": files.sha256(path)}
    except (Rejected, OSError) as error:
        raise UserError(
            f"{root / name}: {error}. Remedy: fetch or draw the dataset again."
        ) from error
