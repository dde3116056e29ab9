"""Downloading a dataset or a model and checking every file of it against what the hub says.

Transient errors are retried; others are explained. A finished download has a manifest of its own
beside the files (``RECORD``): it names the commit, and tells later runs, offline ones too, that the
files are still the right ones.
"""

import errno
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, TypeVar

from legor1.core.errors import UserError
from legor1.core.files import Rejected, write_json
from legor1.core.format import size
from legor1.core.progress import Progress
from legor1.data import sources
from legor1.data.sources import IGNORED, PATTERNS, RECORD, Entry, Manifest, recorded, visible

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

COMMIT = re.compile(r"[0-9a-f]{40}")
PAUSES = (1, 4, 16)  # seconds before each further attempt
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
SECONDS = 30  # for the hub to answer
AT_ONCE = 8  # files downloaded at a time

Wanted = dict[str, "RepoFile"]
T = TypeVar("T")


@dataclass(frozen=True)
class Hub:
    """One repository at one revision; nothing is asked of the hub before it must be."""

    kind: str  # ``dataset`` or ``model``
    repo: str  # owner/name
    revision: str  # a commit, tag or branch
    endpoint: str | None = None  # the hub's address, ``HF_ENDPOINT`` by default

    def listing(self) -> tuple[str, dict[str, "RepoFile"]]:
        """Return the commit that the revision is now, and what the wanted files are at it."""
        from huggingface_hub import HfApi, RepoFile
        from huggingface_hub.utils import filter_repo_objects

        api, commit = HfApi(self.endpoint), self.revision
        if not COMMIT.fullmatch(commit):
            info = partial(api.repo_info, self.repo, repo_type=self.kind, timeout=SECONDS)
            commit = str(self._patiently(lambda: info(revision=self.revision)).sha)
        tree = partial(api.list_repo_tree, self.repo, revision=commit, repo_type=self.kind)
        entries = self._patiently(lambda: [*tree(recursive=True)])
        files = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
        allowed, ignored = PATTERNS[self.kind], IGNORED[self.kind]
        kept = filter_repo_objects(files, allow_patterns=allowed, ignore_patterns=ignored)
        wanted = {name: files[name] for name in kept}
        if not wanted:
            reason = f"it has no file among {', '.join(PATTERNS[self.kind])}"
            raise self._failure(reason, "check the name and the revision")
        return commit, wanted

    def download(self, commit: str, folder: Path) -> None:
        """Put the wanted files into ``folder``; what arrived stays there if not all can be had."""
        from huggingface_hub import snapshot_download

        download = partial(
            snapshot_download,
            self.repo,
            repo_type=self.kind,
            revision=commit,
            local_dir=folder,
            endpoint=self.endpoint,
            max_workers=AT_ONCE,
            tqdm_class=Progress,
            allow_patterns=PATTERNS[self.kind],
            ignore_patterns=IGNORED[self.kind],
        )
        self._patiently(download, progress=lambda: len(visible(folder)))

    def _patiently(self, act: Callable[[], T], progress: Callable[[], int] = int) -> T:
        """Return what ``act`` returns, retrying; at most a few times without ``progress``."""
        from httpx2 import HTTPError
        from huggingface_hub.errors import XetDownloadError

        # What the library's parsers raise at the answer of a server that is no hub.
        strange = (ValueError, KeyError, TypeError, AttributeError, RuntimeError)
        pauses, before = iter(PAUSES), progress()
        while True:
            try:
                return act()
            except (OSError, HTTPError, XetDownloadError, *strange) as error:
                if progress() != before:
                    pauses, before = iter(PAUSES), progress()
                cause, pause = _cause(error), next(pauses, None)
                if pause is None or not _is_transient(cause):
                    raise self._failure(_reason(cause), self._remedy(cause)) from error
                print(f"fetch: {_reason(cause)}: again in {pause} s", file=sys.stderr, flush=True)
                sleep(pause)

    def _failure(self, reason: str, remedy: str) -> UserError:
        what = f"the {self.kind} {self.repo} at {self.revision}"
        return UserError(f"{what} cannot be had: {reason}. Remedy: {remedy}.")

    def _remedy(self, error: Exception) -> str:
        from httpx2 import TransportError
        from huggingface_hub import errors

        status = _status(error)
        if isinstance(error, errors.RevisionNotFoundError):
            return "name a commit, tag or branch that exists (a commit can be rewritten away)"
        if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
            page = f"https://huggingface.co/{'datasets/' * (self.kind == 'dataset')}{self.repo}"
            return f"check the name; if {page} is gated, ask for access there and set HF_TOKEN"
        if status or isinstance(error, TransportError):
            return (
                "run again when the hub can be reached (what has arrived is kept), or fetch where "
                "there is network (`snakemake fetch`); HF_HUB_OFFLINE=1 uses an earlier download"
            )
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return "free space where it is downloaded to"
        if isinstance(error, OSError) and error.errno:
            return "make the folder that it is downloaded to writable"
        return "check that HF_ENDPOINT, if set, is a hub, and that no proxy answers in its place"


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
    checked = sources.for_each(sorted(names), lambda name: _check_file(root, name, wanted[name]))
    wrong = {name: result for name, result in checked.items() if isinstance(result, str)}
    for name in wrong:
        if not (root / name).is_dir():
            (root / name).unlink(missing_ok=True)
    return {name: entry for name, entry in checked.items() if not isinstance(entry, str)}, wrong


def _check_file(root: Path, name: str, remote: "RepoFile") -> Entry | str:
    from huggingface_hub.utils.sha import git_hash

    try:
        entry = sources.entry(root, name)
    except Rejected:
        return "is missing"
    if entry["size"] != remote.size:
        return f"has {entry['size']:,} bytes instead of {remote.size:,}"
    if remote.lfs:  # the hub knows it by its SHA-256, a small file as git does
        right = entry["sha256"] == remote.lfs.sha256
    else:
        right = git_hash((root / name).read_bytes()) == remote.blob_id
    return entry if right else "has another content (by its hash)"


def _cause(error: Exception) -> Exception:
    """Return the cause where the library merely says that it has no local copy either."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _status(error: Exception) -> int | None:
    return getattr(getattr(error, "response", None), "status_code", None)


def _is_transient(error: Exception) -> bool:
    from httpx2 import TransportError
    from huggingface_hub.errors import FileMetadataError, XetDownloadError

    if _status(error) or isinstance(error, FileMetadataError):
        return _status(error) in TRANSIENT
    # The library's own check of a file's size raises an OSError without a number.
    lost = isinstance(error, OSError) and error.errno is None
    return lost or isinstance(error, (TransportError, XetDownloadError, RuntimeError))


def _reason(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0] or type(error).__name__
    return first.rstrip(".:")


def _say(text: str) -> None:
    print(f"fetch: {text}", file=sys.stderr, flush=True)
