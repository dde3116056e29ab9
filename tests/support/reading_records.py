"""What the records beside a run's results say: for ``reading_back``, by no code of the report."""

import json
from pathlib import Path
from typing import Any

EVERY_RECORD = "**/*.provenance.json"
OF_AN_EXPERIMENT = ("train", "predict")


def used(run: Path) -> list[dict]:
    """Return the records that lie behind the results, without those that others have left."""
    found = {path: json.loads(path.read_text()) for path in run.glob(EVERY_RECORD)}
    found.pop(run / "report.html.provenance.json", None)
    experiments = json.loads((run / "config.json").read_text())["experiments"].values()
    audits = [f"data/{one.get('protocol', 'sound')}/audit.json" for one in experiments]
    ends = ["table.csv", "comparison.json", "config.json", *audits]
    kept = {*found} & {run / f"{name}.provenance.json" for name in ends}
    if run / "table.csv.provenance.json" not in found:
        return [*found.values()]
    size = 0
    while len(kept) > size:
        size, read = len(kept), {one["path"] for path in kept for one in found[path]["inputs"]}
        kept |= {path for path in found if read & {one["path"] for one in found[path]["outputs"]}}
    return [found[path] for path in kept]


def of_records(records: list[dict], key: str, how: str) -> Any:
    """Return what is made of the records of one stage, or of all that no experiment has alone."""
    what, _, stage = how.partition(" of ")
    own = [one for one in records if _stage(one) == stage]
    if stage == "the other stages":
        own = [one for one in records if one["stage"] not in OF_AN_EXPERIMENT]
    if what == "jobs":
        return len(own)
    if what in ("sum", "greatest"):
        return {"sum": sum, "greatest": max}[what](one[key] for one in own)
    assert what == "core-hours", how
    return sum(one[key] * _cores(one["settings"]) for one in own) / 3600


def _stage(record: dict) -> str:
    settings = record["settings"]
    if record["stage"] == "train":
        return f"train {settings['recipe']['method']}"
    return f"{record['stage']} {settings['kind']}" if "kind" in settings else record["stage"]


def _cores(settings: dict) -> int:
    return (settings.get("recipe") or {}).get("threads") or settings.get("workers") or 1
