"""instances.parquet, split.json and conversations → audit.json: which defects are in the data.

Of every defect of data preparation it says what was measured, with a bootstrap interval clustered
by manual, and whether it was found. The prompts are read as they were written: that a switch is off
is no evidence.
"""

from collections import Counter
from pathlib import Path

from legor1.core import files
from legor1.data.audit import leaks, shortcuts
from legor1.data.audit.evidence import CONFIDENCE, REPLICATES, SEED, read


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

    ``conversations`` is the folder of {plain,reasoning}/{train,test}.jsonl. Without ``tree`` the
    files' bytes are not measured; without ``images``, the images.parquet of ``fingerprint``,
    duplicates are not, and images are the same if their paths are.
    """
    material = read(instances, split, conversations, tree, images)
    findings = leaks.findings(material) + shortcuts.findings(material) + leaks.duplicates(material)
    content = {
        "schema_version": 2,
        "interval": {
            "method": "percentile bootstrap, clustered by manual",
            "replicates": REPLICATES,
            "confidence": CONFIDENCE,
            "seed": SEED,
        },
        "defects_found": sorted({f["defect"] for f in findings if f["verdict"] == "found"}),
        "findings": findings,
    }
    files.write_json(out, content)
    verdicts = Counter(finding["verdict"] for finding in findings)
    return {verdict: verdicts[verdict] for verdict in ("found", "none", "not measured")}
