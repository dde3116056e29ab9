"""Defects that need each other, by what the audits counted: offered as bundles of an ablation.

A defect that is found under all defects, but neither alone nor without some other, leaks only
through that one: alone it measures nothing.
"""

import itertools
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
    if not {("sound",), ("thesis",)} <= protocols.keys():
        return []
    audits = {
        key: read_json(run / IN_RUN.ablation.data.audit(protocol))["findings"]
        for key, protocol in protocols.items()
    }
    made: list[Row] = []
    for defect in [key[1] for key in protocols if key[0] == "sound" and len(key) == 2]:
        counted = {key: _counts(findings, defect) for key, findings in audits.items()}
        for what, (together, n) in counted["thesis",].items():
            quiet = [key for key, counts in counted.items() if counts.get(what, (1, 1))[0] == 0]
            needed = [other for around, *other in quiet if around == "thesis" and other != [defect]]
            if together and needed and ("sound", defect) in quiet:
                counts = {"alone": 0, "together": together, "n": n}
                defects = [*itertools.chain(*needed), defect]
                made.append({"defects": defects, "measured": what} | counts)
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
