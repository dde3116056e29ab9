"""instances.parquet, split.json and conversations → audit.json: which defects are in the data.

Of every defect of data preparation it says what was measured, with a bootstrap interval clustered
by manual, and whether it was found. The prompts are read as they were written: that a switch is off
is no evidence.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from legor1.core import files
from legor1.data.audit import duplicates, leaks, shortcuts, statistics, wording
from legor1.data.audit.finding import CONFIDENCE, REPLICATES, SEED
from legor1.data.audit.material import Material, read

SCHEMA_VERSION = 1


def audit(material: Material) -> dict[str, Any]:
    """Return the content of audit.json."""
    found = [f for part in (leaks, wording, shortcuts, duplicates) for f in part.findings(material)]
    return {
        "schema_version": SCHEMA_VERSION,
        "interval": {
            "method": "percentile bootstrap, clustered by manual",
            "replicates": REPLICATES,
            "confidence": CONFIDENCE,
            "seed": SEED,
        },
        "defects_found": sorted({one["defect"] for one in found if one["verdict"] == "found"}),
        "findings": found,
        "statistics": statistics.statistics(material),
    }


def write_audit(
    instances: Path,
    split: Path,
    conversations: Path,
    out: Path,
    *,
    tree: Path | None = None,
    images: Path | None = None,
) -> dict[str, int]:
    """Audit a prepared dataset and write audit.json; return how many findings have each verdict.

    Args:
        instances, split: instances.parquet and split.json.
        conversations: the folder of {plain,reasoning}/{train,test}.jsonl.
        out: audit.json.
        tree: the dataset's folder; without it the files' bytes are not measured.
        images: images.parquet of ``fingerprint``; without it duplicates are not measured, and
            images are the same if their paths are.

    Raises:
        UserError: a file is missing or is not what it should be, or they do not belong together.
    """
    content = audit(read(instances, split, conversations, tree, images))
    files.write_json(out, content)
    verdicts = Counter(one["verdict"] for one in content["findings"])
    return {verdict: verdicts[verdict] for verdict in ("found", "none", "not measured")}
