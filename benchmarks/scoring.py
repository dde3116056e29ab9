"""How long 9,000 predictions take to score under both protocols, with all intervals.

    make benchmark-scoring

The predictions are made up: true answers with moved boxes, changed words and wrong verdicts, and
some that cannot be read. Each protocol is a process of its own, and both run side by side, as in
the pipeline; the time includes their start. Exits with 1 if the limit is passed.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from legor1.core.files import write_jsonl
from legor1.core.seeding import generator

COUNTS = {"object": 5000, "grounding": 1400, "state": 2600}
MANUALS = 65
LIMIT = 20.0  # seconds
SIZE = {"width": 960, "height": 720, "processed_width": 756, "processed_height": 560}
COLOURS = ("red", "dark tan", "light grey", "sand green", "trans-clear", "bright orange")
PARTS = ("1x2 plate", "2x4 brick", "round tile", "corner plate 2x2", "wheel hub", "slope 45")
WORDS = ("press", "place", "on", "the", "left", "side", "of", "it", "then", "turn", "row", "under")


def predictions(seed: int) -> Iterator[dict]:
    """Yield rows of predictions.jsonl, as many of each task as in ``COUNTS``."""
    makers = {"object": _objects, "grounding": _prose, "state": _verdict}
    for task, count in COUNTS.items():
        for number in range(count):
            name = f"{task}/{number}"
            prediction, reference = makers[task](generator(seed, "benchmark", name))
            if number % 25 == 0:
                prediction = f"I see {prediction[: len(prediction) // 2]}"
            texts = {"prediction": prediction, "reference": reference}
            manual = f"manual {number % MANUALS}"
            yield {"instance_id": name, "task": task, "manual": manual, **SIZE, **texts}


def _objects(rng: np.random.Generator) -> tuple[str, str]:
    true = []
    for _ in range(rng.integers(1, 6)):
        x, y = rng.integers(0, 700), rng.integers(0, 500)
        box = [x, y, x + rng.integers(40, 240), y + rng.integers(40, 200)]
        label = f"{rng.integers(1, 5)} {rng.choice(COLOURS)} {rng.choice(PARTS)}"
        true.append({"bbox_2d": [int(side) for side in box], "label": label})
    said = [
        {
            "bbox_2d": [int(side + rng.integers(-15, 16)) for side in item["bbox_2d"]],
            "label": item["label"] if rng.random() < 0.7 else str(rng.choice(PARTS)),
        }
        for item in true
        if rng.random() < 0.9
    ]
    return json.dumps(said), json.dumps(true)


def _prose(rng: np.random.Generator) -> tuple[str, str]:
    parts = [f"{rng.choice(COLOURS)} {rng.choice(PARTS)}" for _ in range(3)]
    true = " ".join([*rng.choice(WORDS, 14), *parts]).capitalize() + "."
    said = [word if rng.random() < 0.8 else str(rng.choice(WORDS)) for word in true.split()]
    return " ".join(said), true


def _verdict(rng: np.random.Generator) -> tuple[str, str]:
    return ("Yes." if rng.random() < 0.4 else "No."), ("Yes." if rng.random() < 0.25 else "No.")


def timed(path: Path, out: Path, replicates: int) -> float:
    """Return how many seconds it takes until both protocols' scores are there."""
    start, running = time.perf_counter(), {}
    for protocol in ("sound", "thesis"):
        command = [sys.executable, "-m", "legor1.cli.main", "score", path, "--protocol", protocol]
        command += ["--replicates", replicates, "--out", out / protocol]
        running[protocol] = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    for protocol, process in running.items():
        if process.wait():
            raise SystemExit(f"scoring under the protocol {protocol} failed")
    return time.perf_counter() - start


def main() -> int:
    """Time both protocols and say what they took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replicates", type=int, default=10000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "predictions.jsonl"
        count = write_jsonl(path, predictions(1))
        seconds = timed(path, Path(folder), given.replicates)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{count:,} predictions, {given.replicates:,} replicates: {seconds:.1f} s")
    print(f"CPU time of both processes: {used.ru_utime + used.ru_stime:.1f} s")
    print(f"limit: {LIMIT:.0f} s")
    return int(seconds > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
