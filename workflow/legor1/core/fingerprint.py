"""Interrupted work is resumed only where nothing that its result depends on has changed."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from legor1.core.files import sha256


def fingerprint(recipe: Mapping[str, object], files: Iterable[Path], code: str) -> str:
    """Return a name for a piece of work, in 16 hexadecimal digits.

    Args:
        recipe: its settings.
        files: its inputs, which count by content.
        code: the digest of its code.
    """
    facts = json.dumps([recipe, [sha256(path) for path in files], code], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
