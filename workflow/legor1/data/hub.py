"""The hub's side of a download: what a repository holds at one commit, and getting it.

Transient errors are retried; others are explained. ``data.download`` checks what the files hold.
"""

import errno
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, TypeVar

from legor1.core.errors import UserError
from legor1.core.progress import Progress
from legor1.data.sources import IGNORED, PATTERNS, visible

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

COMMIT = re.compile(r"[0-9a-f]{40}")
PAUSES = (1, 4, 16)  # seconds before each further attempt
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
SECONDS = 30  # for the hub to answer
AT_ONCE = 8  # files downloaded at a time

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
