"""Downloading a dataset or a model and checking every file of it against what the hub says.

A finished download has a manifest of its own beside the files (``RECORD``): it names the commit,
and tells later runs, offline ones too, that the files are still the right ones.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from legor1.core.errors import UserError
from legor1.core.files import Rejected, locate, sha256, write_json
from legor1.core.format import size
from legor1.data import sources
from legor1.data.hub import COMMIT, Hub
from legor1.data.sources import RECORD, Entry, Manifest, for_each, recorded, visible

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

Wanted = dict[str, "RepoFile"]


def offline() -> bool:
    """Return whether the user forbids the network, as the hub's library understands it."""
    setting = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return setting.upper() in ("1", "ON", "YES", "TRUE")


def downloaded(folder: Path, repo: str, revision: str) -> Manifest | None:
    """Return the manifest of the finished download of this revision in ``folder``, if any.

    A UserError says that ``folder`` holds another repository.
    """
    record = recorded(folder)
    if record is None:
        return None
    source = record["source"]
    if source["repo"] != repo:
        raise UserError(
            f"{folder} holds {source['repo']}, not {repo}. Remedy: name another folder."
        )
    return record if revision in (source["revision"], source["commit"]) else None


def fetch(
    kind: str, repo: str, revision: str, folder: Path, endpoint: str | None = None
) -> Manifest:
    """Download ``repo`` at ``revision`` into ``folder``, check every file, and return the manifest.

    What is there and right is kept; what is there and wrong is downloaded again. A branch is
    looked up once, so all files are of one commit. Offline, what was downloaded earlier is checked.
    The arguments are those of ``Hub``, and the folder that gets the files. A UserError says what
    is in the way: the network, the name, the right to read it, or a damaged repository.
    """
    record = downloaded(folder, repo, revision)
    if record and _still_there(folder, record, revision):
        return record
    if offline():
        raise UserError(
            f"HF_HUB_OFFLINE is set, and {folder} holds no finished download of {repo} at "
            f"{revision}. Remedy: fetch it where there is network (`snakemake fetch`)."
        )
    hub = Hub(kind, repo, revision, endpoint)
    commit, wanted = hub.listing()
    if record and (before := record["source"]["commit"]) != commit:
        _say(f"{repo}: {record['source']['revision']} was {before}, is now {commit}")
    entries = _complete(hub, commit, wanted, folder)
    record = sources.describe(entries, {"repo": repo, "revision": revision, "commit": commit})
    write_json(Path(folder) / RECORD, record)
    return record


def _still_there(folder: Path, record: Manifest, revision: str) -> bool:
    """Return whether an earlier download will do without asking the hub."""
    if not (offline() or COMMIT.fullmatch(revision)):
        return False
    try:
        sources.verify(folder, record)
    except UserError as error:
        if offline():
            raise
        _say(f"{error} Downloading what differs.")
        return False
    _say(f"{len(record['files']):,} files in {folder} are those of {record['source']['commit']}")
    return True


def _complete(hub: Hub, commit: str, wanted: Wanted, folder: Path) -> dict[str, Entry]:
    """Return the entries of all wanted files, having downloaded those that were not there."""
    _clear(folder, wanted)
    entries, wrong = _check(folder, wanted, wanted)
    for _ in range(2):
        if wrong:
            lacking, total = (sum(wanted[name].size for name in part) for part in (wrong, wanted))
            _say(
                f"{hub.repo} at {commit}: {len(wrong):,} of {len(wanted):,} files, "
                f"{size(lacking)} of {size(total)}, to {folder}"
            )
            hub.download(commit, folder)
            checked, wrong = _check(folder, wanted, wrong)
            entries |= checked
    if not wrong:
        return entries
    name, reason = min(wrong.items())
    raise UserError(
        f"the {hub.kind} {hub.repo} at {commit}: {name} {reason}, twice in a row "
        f"({len(wrong):,} such files, removed). Remedy: try later, or from another network; if it "
        "stays so, the repository is damaged: choose another revision."
    )


def _clear(folder: Path, wanted: Wanted) -> None:
    """Remove files that only an earlier commit had; any other unknown file is an error."""
    record = recorded(folder)
    for name in sorted({*visible(folder)} - wanted.keys()):
        if record is None or name not in record["files"]:
            raise UserError(
                f"{Path(folder) / name} is no file of that repository at that revision, and would "
                "be taken for one. Remedy: remove it, or name another folder."
            )
        (Path(folder) / name).unlink()


def _check(
    folder: Path, wanted: Wanted, names: Iterable[str]
) -> tuple[dict[str, Entry], dict[str, str]]:
    """Return the entries of the files that are right, and what is wrong with the others.

    Those that are wrong are removed, so that they are downloaded again.
    """
    root = Path(folder).resolve()
    checked = for_each(sorted(names), lambda name: _check_file(root, name, wanted[name]))
    wrong = {name: result for name, result in checked.items() if isinstance(result, str)}
    for name in wrong:
        if not (root / name).is_dir():
            (root / name).unlink(missing_ok=True)
    return {name: entry for name, entry in checked.items() if not isinstance(entry, str)}, wrong


def _check_file(root: Path, name: str, remote: "RepoFile") -> Entry | str:
    from huggingface_hub.utils.sha import git_hash

    try:
        path = locate(root, name)
    except Rejected:
        return "is missing"
    entry = Entry(size=path.stat().st_size, sha256=sha256(path))
    if entry["size"] != remote.size:
        return f"has {entry['size']:,} bytes instead of {remote.size:,}"
    if remote.lfs:  # the hub knows it by its SHA-256, a small file as git does
        right = entry["sha256"] == remote.lfs.sha256
    else:
        right = git_hash(path.read_bytes()) == remote.blob_id
    return entry if right else "has another content (by its hash)"


def _say(text: str) -> None:
    print(f"fetch: {text}", file=sys.stderr, flush=True)
