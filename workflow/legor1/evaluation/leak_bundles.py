"""Defects that need each other, by what the audits counted: offered as bundles of an ablation.

A defect that is found under all defects, but neither alone nor without some other, leaks only
through that one: alone it measures nothing.
"""

from collections.abc import Sequence
from pathlib import Path

from legor1.core.files import read_json
from legor1.core.layout import IN_RUN
from legor1.tasks.task import Row


def bundles(run: Path, variants: Sequence[Row]) -> list[Row]:
    """Return the bundles that the audits below ``run`` speak for, each once.

    ``variants`` are those of the plan; only what was switched alone, on and off, can tell.
    """
    protocols = {
        (one["around"], *one["switched"]): one["protocol"]
        for one in variants
        if len(one["switched"]) <= 1
    }
    alone = [names[1] for names in protocols if names[0] == "sound" and len(names) == 2]
    off = [names[1] for names in protocols if names[0] == "thesis" and len(names) == 2]
    if ("sound",) not in protocols or ("thesis",) not in protocols:
        return []
    audits = {
        protocol: read_json(run / IN_RUN.ablation.data.audit(protocol))["findings"]
        for protocol in set(protocols.values())
    }
    made: list[Row] = []
    for defect in alone:
        found = _counts(audits[protocols["thesis",]], defect)
        first = _counts(audits[protocols["sound", defect]], defect)
        leaking = [what for what in found if found[what][0] and first.get(what, (1, 1))[0] == 0]
        for what in leaking:
            needed = [
                other
                for other in off
                if other != defect
                and _counts(audits[protocols["thesis", other]], defect).get(what, (1, 1))[0] == 0
            ]
            if needed:
                counts = {"alone": first[what][0], "together": found[what][0], "n": found[what][1]}
                made.append({"defects": [*needed, defect], "measured": what} | counts)
    return made


def _counts(findings: Sequence[Row], defect: str) -> dict[str, tuple[int, int]]:
    """Return what was measured of a defect → how many cases were found, and looked at.

    Only what should not happen at all can be counted: there ``chance`` is none.
    """
    return {
        f"{one['measured']} ({one['variant'] or 'both variants'})": (
            round(one["value"] * one["n"]),
            one["n"],
        )
        for one in findings
        if one["defect"] == defect and one["value"] is not None and not one["chance"]
    }
