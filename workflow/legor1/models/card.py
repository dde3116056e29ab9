"""The card of a trained model on the hub."""

import json
from collections.abc import Mapping, Sequence

from legor1.core.templates import rendered


def card(facts: Mapping, history: Sequence[Mapping[str, float]], *, merged: bool = False) -> str:
    """Return the card, given the contents of ``run.json`` and ``history.jsonl``.

    It is of the adapter, or of the base model with the adapter ``merged`` into it.
    """
    recipe = json.dumps(facts["recipe"], indent=2)
    shown = {"facts": facts, "history": history, "recipe": recipe, "merged": merged}
    return rendered("model_card.md.j2", shown)
