"""The dataset's tree is untrusted: every path in it is checked here before a byte is read."""

import errno
import os
import stat
from pathlib import Path

MISSING = "file missing"
LEAVES = "path leaves the tree"
# Neither a link nor a pipe, which would wait for a writer, is opened by mistake.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Rejected(Exception):
    """A row or file that cannot be used; the message is the reason, the same for all such rows."""


def locate(root: Path, relative: str) -> Path:
    """Return the regular file ``relative`` below ``root``, which must be a resolved path.

    Raises:
        Rejected: the path leaves the tree (by ``..``, by a symbolic link), or is no file.
    """
    try:
        path = (root / relative).resolve()
        if not path.is_relative_to(root):
            raise Rejected(LEAVES)
        if path.is_file():
            return path
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, links in a circle
        pass
    raise Rejected(MISSING)


class Tree:
    """Opens files below a root by the rules of ``locate``, each folder looked up only once."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root).resolve()
        self._folders: dict[str, str] = {}

    def open(self, relative: str) -> tuple[int, int]:
        """Return a file's descriptor, which the caller closes, and its size in bytes.

        Raises:
            Rejected: as ``locate``, or the file may not be read.
        """
        folder, _, name = relative.rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._resolve(folder)
        resolved = self._folders[folder]
        if not resolved or name in ("", ".", ".."):
            locate(self.root, relative)  # says what is wrong with the folder
            raise Rejected(MISSING)
        try:
            descriptor = _open(f"{resolved}/{name}")
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise _rejected(error) from error
            descriptor = self._follow(relative)
        except ValueError as error:  # a zero byte, a lone surrogate
            raise Rejected(MISSING) from error
        facts = os.fstat(descriptor)
        if stat.S_ISREG(facts.st_mode):
            return descriptor, facts.st_size
        os.close(descriptor)
        raise Rejected(MISSING)

    def _resolve(self, folder: str) -> str:
        """Return the folder's real path, "" if it is not in the tree."""
        try:
            path = (self.root / folder).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            return ""
        return str(path) if path.is_relative_to(self.root) else ""

    def _follow(self, link: str) -> int:
        try:
            return _open(str(locate(self.root, link)))
        except OSError as error:
            raise _rejected(error) from error


def _open(path: str) -> int:
    return os.open(path, _FLAGS)


def _rejected(error: OSError) -> Rejected:
    denied = error.errno in (errno.EACCES, errno.EPERM)
    return Rejected("file unreadable" if denied else MISSING)
