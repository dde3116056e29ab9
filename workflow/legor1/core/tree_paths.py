"""The dataset's tree is untrusted: every path in it is checked here before a byte is read."""

import errno
import os
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
    """Opens files below a root by the rules of ``locate``."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root).resolve()

    def open(self, relative: str) -> tuple[int, int]:
        """Return a file's descriptor, which the caller closes, and its size in bytes.

        Raises:
            Rejected: as ``locate``, or the file may not be read.
        """
        try:
            descriptor = os.open(locate(self.root, relative), _FLAGS)
        except OSError as error:
            denied = error.errno in (errno.EACCES, errno.EPERM)
            raise Rejected("file unreadable" if denied else MISSING) from error
        return descriptor, os.fstat(descriptor).st_size
