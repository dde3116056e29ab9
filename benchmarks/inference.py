"""Few-shot predictions on CPU: the engine against the plain loop.

    make benchmark-inference        about 5 minutes on one core

The plain loop takes three conversations at a time in the file's order, has the processor read and
resize their images, and calls ``generate``. Both must say the same, token by token. They take
turns on the same test conversations, one after the other, warm, in float32. The conversations are
the demo's, with fewer manuals: demonstrations come from one pool, so images are shown again.

- tiny: the shipped base model, trained; images and limits as in the demo.
- middle: text 512 × 8 layers, images of about 336 × 336 pixels, random weights. Its answers are
  ended where the true ones end, in tokens of Qwen's vocabulary.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

from models import TINY, flop_counter, make_model, matrix_speed

Rows = list[dict[str, Any]]
TARGET = 3.0
DRAWN = "--manuals 8 --steps 4 --objects 24 --seed 7 --image-size 480x360,360x480,420x420,540x300"


@dataclass(frozen=True)
class Case:
    """A model and a workload.

    Attributes:
        pixels: the budget of an image, least and most.
        tokens: answers end here at the latest.
        rows: conversations.
        rounds: of both, timed.
    """

    name: str
    pixels: tuple[int, int]
    tokens: int
    rows: int
    rounds: int


CASES = [Case("tiny", (9408, 15680), 80, 72, 3), Case("middle", (80000, 130000), 128, 36, 1)]


def draw(folder: Path) -> Rows:
    """Return test conversations of manuals drawn into ``folder``."""
    from legor1.cli import main
    from legor1.files import read_jsonl

    tree, instances, split = (str(folder / n) for n in ("tree", "instances.parquet", "split.json"))
    main(["synthesize", tree, *DRAWN.split()])
    main(["index", tree, "--out", instances, "--quarantine", str(folder / "quarantine.jsonl")])
    main(["split", instances, "--tree", tree, "--seed", "42", "--out", split])
    main(["convert", instances, split, "--seed", "42", "--out", str(folder / "conversations")])
    return read_jsonl(folder / "conversations/plain/test.jsonl", ["instance_id"])


class TrueLengths:
    """Ends each answer where the true one ends: a logits processor that knows prompts by sight."""

    def __init__(self, predictor: Any, rows: Rows) -> None:
        import torch

        from legor1.plan.tokens import estimate

        self.ends, self.pad = predictor.ends, predictor.processor.tokenizer.pad_token_id
        self.weights = torch.randint(1, 2**40, (8192,), generator=torch.Generator().manual_seed(0))
        self.lengths = {}
        engine = predictor.engine
        for row, prompt in zip(rows, predictor.prompts(rows), strict=True):
            ids, _ = engine.padded([prompt])
            self.lengths[self.keys(ids)[0]] = estimate(row["response"])
        self.width = 0

    def keys(self, ids: Any) -> list[int]:
        """Return a number for each padded prompt that does not depend on its padding."""
        seen = ids * (ids != self.pad)
        return (seen.flip(1) * self.weights[: ids.size(1)]).sum(1).tolist()

    def __call__(self, ids: Any, scores: Any) -> Any:
        """Return the scores, the end token's alone where the answer is long enough."""
        if self.width == 0:
            self.width = ids.size(1)
        said = ids.size(1) - self.width
        over = [self.lengths[key] <= said for key in self.keys(ids[:, : self.width])]
        scores[:, self.ends] = -1e9
        scores[over] = -1e9
        for row, ended in enumerate(over):
            if ended:
                scores[row, self.ends[0]] = 0.0
        return scores
