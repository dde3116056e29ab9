"""Interrupted work is taken up again only where nothing that its result depends on has changed."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from legor1.core.files import sha256


def fingerprint(recipe: dict[str, Any], files: Iterable[Path]) -> str:
    """Return the name of a piece of work: its recipe and its files, hashed.

    Args:
        recipe: its settings.
        files: its inputs and its code, by content.
    """
    facts = json.dumps([recipe, [sha256(path) for path in files]], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
