"""How long the report takes: of a finished run, and of a study with 9,000 examples and three seeds.

    make benchmark-report

The study is a finished run (``--run``, else the demo) whose test examples stand there again and
again under other names, and whose trainings have repeats with the same answers. Each report is
rendered by the command of the rules, in a process of its own. Exits with 1 if a limit is passed.
"""

import argparse
import csv
import io
import itertools
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from legor1.core.files import read_json, read_jsonl, write_json, write_jsonl, write_text

ROOT = Path(__file__).parents[1]
EXAMPLES = 9000
SEEDS = (43, 44)
LIMITS = {"as it is": 10.0, "9,000 examples, 3 seeds": 60.0}  # seconds


def multiplied(run: Path, folder: Path) -> Path:
    """Write the large study into ``folder`` and return it; ``run`` is left as it is."""
    shutil.copytree(run, folder, symlinks=True, ignore=shutil.ignore_patterns("work", "*.html"))
    for path in folder.glob("data/*/*/test.jsonl"):
        write_jsonl(path, _renamed(read_jsonl(path)))
    for path in folder.glob("predictions/*.jsonl"):
        write_jsonl(path, _renamed(read_jsonl(path)))
    for path in folder.glob("scores/*/*/per_example.parquet"):
        rows = pd.read_parquet(path).to_dict("records")
        pd.DataFrame(_renamed(rows)).to_parquet(path)
    _repeat(folder)
    return folder


def _renamed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows again and again, ``EXAMPLES`` in all, each time under other names."""
    rounds = itertools.count()
    again = (row | {"instance_id": f"{row['instance_id']}-{i}"} for i in rounds for row in rows)
    return list(itertools.islice(again, EXAMPLES))


def _repeat(folder: Path) -> None:
    """Give every training its repeats: all its files, its rows of the table, its settings."""
    config = read_json(folder / "config.json")
    table = list(csv.DictReader(io.StringIO((folder / "table.csv").read_text(encoding="utf-8"))))
    trained = [name for name, one in config["experiments"].items() if one["method"] != "baseline"]
    for name, seed in itertools.product(trained, SEEDS):
        repeat = f"{name}_seed{seed}"
        config["experiments"][repeat] = config["experiments"][name] | {
            "seed": seed,
            "repeats": name,
        }
        for kind in ("adapters", "predictions", "scores"):
            shutil.copytree(folder / kind / name, folder / kind / repeat)
        shutil.copy2(folder / f"predictions/{name}.jsonl", folder / f"predictions/{repeat}.jsonl")
        table += [row | {"experiment": repeat} for row in table if row["experiment"] == name]
    write_json(folder / "config.json", config | {"seeds": list(SEEDS)})
    text = io.StringIO()
    writer = csv.DictWriter(text, table[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_text(folder / "table.csv", text.getvalue())


def render(run: Path, out: Path) -> tuple[float, float, float]:
    """Render; return seconds, the peak of memory in MiB of all so far, and the page's MB."""
    command = [sys.executable, "-m", "legor1.cli.main", "report", str(run)]
    started = time.monotonic()
    pages = ["--out", str(out), "--gallery", str(out.with_name("gallery.html"))]
    subprocess.run([*command, *pages], check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return seconds, peak, out.stat().st_size / 1e6


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", type=Path, default=ROOT / "results/demo", help="a finished run")
    given = parser.parse_args()
    if not (given.run / "table.csv").exists():
        sys.exit(f"{given.run} is not finished. Remedy: `make demo`, or name another with --run.")
    with tempfile.TemporaryDirectory() as scratch:
        large = multiplied(given.run, Path(scratch) / "large")
        runs = dict(zip(LIMITS, (given.run, large), strict=True))
        print(f"{'study':26} {'seconds':>8} {'limit':>6} {'peak MiB':>9} {'page MB':>8}")
        passed = True
        for name, run in runs.items():
            seconds, peak, size = render(run, Path(scratch) / "report.html")
            print(f"{name:26} {seconds:8.1f} {LIMITS[name]:6.0f} {peak:9.0f} {size:8.2f}")
            passed &= seconds <= LIMITS[name]
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
