"""A step of GRPO on CPU: prompts computed once for their group, against TRL's stock trainer.

    make benchmark-grpo        5 to 6 minutes on one core

Both trainers run side by side in processes of their own and take turns, a step each, so that the
machine's moods reach both. They train from the same seed on the same prompts, so they must sample
the same completions and report the same losses. A step is everything: images, rollout, rewards,
reference, loss, optimiser. Float32, G = 8, few-shot prompts of two images, in files.

- tiny: the shipped base model, trained, images as in the demo.
- pages: the same with pages of real size on disk, in the study's shape: eight forward passes of one
  group, three images a prompt. They are resized to the demo's size, or a step would take an hour;
  so the images' share is that of a small model, and what counts is how often they are read.
- middle: text 512 × 8 layers, images of 336 × 336 pixels; random weights, so that completions run
  to their full length. Its vision tower takes about as much of a stock step as in the 7B model.
"""

import os
import statistics
import time
import zlib
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import models
from measuring import run
from side_by_side import compare

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

GENERATIONS = 8
QUESTION = "Which parts are needed for this step of the manual? Give a box and a label for each."
ANSWER = '[{"bbox_2d": [10, 20, 90, 100], "label": "2 red 1x2 plate"}]'


@dataclass(frozen=True)
class Case:
    """A model and a workload.

    Attributes:
        side: images are squares of so many pixels a side.
        tokens: completions end here at the latest.
        prompts: of a step.
        steps: timed.
        faster: the target, stock CPU time by ours.
        attention: of a model on the GPU.
        passes: forward passes of a step, each of so many prompts.
        page: the size of the images on disk, where it is not the model's.
    """

    name: str
    side: int
    tokens: int
    prompts: int
    steps: int
    faster: float
    attention: str = "sdpa"
    passes: int = 1
    page: tuple[int, int] | None = None

    @property
    def shown(self) -> int:
        """Images of a prompt."""
        return 3 if self.page else 2


CASES = [
    Case("tiny", 112, 72, 2, 6, 1.8),
    Case("pages", 112, 8, 1, 1, 4.0, passes=8, page=(1654, 2339)),
    Case("middle", 336, 48, 1, 3, 3.0),
]


def make_dataset(case: Case, rows: int, folder: Path) -> Any:
    """Return few-shot prompts: solved examples, then the query, each with an image, by its path."""
    import numpy as np
    from datasets import Dataset
    from PIL import Image

    def picture(seed: int) -> str:
        path = folder / f"{seed}.png"
        if not path.exists():
            blocks = np.random.default_rng(seed).integers(100, 256, (8, 8, 3)).astype(np.uint8)
            size = case.page or (case.side, case.side)
            how = Image.Resampling.NEAREST if case.page else Image.Resampling.BICUBIC
            Image.fromarray(blocks).resize(size, how).save(path)
        return str(path)

    ask = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    solved = [
        {"role": "user", "content": ask},
        {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]},
    ]
    examples = case.shown - 1
    turns = [*examples * solved, solved[0]]
    shown = [
        [*(picture((row + n) % 3) for n in range(examples)), picture(100 + row)]
        for row in range(rows)
    ]
    truth = {"solution": [ANSWER] * rows, "task": ["object"] * rows}
    return Dataset.from_dict({"prompt": [turns] * rows, "images": shown} | truth)


def reward(completions: list[Any], **_: Any) -> list[float]:
    """Return some number that a completion's text decides: random weights earn nothing else."""
    return [zlib.crc32(turns[0]["content"].encode()) % 97 / 97 for turns in completions]


def make_trainer(case: Case, ours: bool, out: str) -> Any:
    """Return the trainer of one side."""
    from datasets import Image, List
    from peft import LoraConfig
    from transformers import AutoProcessor
    from trl import GRPOConfig, GRPOTrainer

    from legor1.evaluation.suites import SUITES
    from legor1.models.registry import DEFAULT
    from legor1.training.fast.group_trainer import SharedPromptGRPOTrainer
    from legor1.training.grpo import batched, by_path

    studied = [batched(name, SUITES["sound"]) for name in ("format", "object")]
    processor = AutoProcessor.from_pretrained(models.TINY, padding_side="left")
    processor.image_processor.size = {
        "shortest_edge": case.side**2,
        "longest_edge": case.side**2,
    }
    rows = make_dataset(case, case.prompts * case.passes * (case.steps + 2), Path(out))
    return (SharedPromptGRPOTrainer if ours else GRPOTrainer)(
        model=models.make("tiny" if case.page else case.name, case.attention, frozen=ours),
        reward_funcs=[reward, *studied],
        args=GRPOConfig(
            output_dir=out,
            per_device_train_batch_size=GENERATIONS * case.prompts,
            gradient_accumulation_steps=case.passes,
            num_generations=GENERATIONS,
            max_completion_length=case.tokens,
            max_steps=case.steps + 1,
            learning_rate=1e-4,
            beta=0.04,
            loss_type="grpo",
            use_cpu=case.name != "real",
            bf16=case.name == "real",
            gradient_checkpointing=case.name == "real",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=rows if ours else rows.cast_column("images", List(Image())),
        processing_class=by_path(processor) if ours else processor,
        peft_config=LoraConfig(r=8, lora_alpha=16, target_modules=DEFAULT.lora_targets),
    )


class Stages:
    """CPU seconds in the trainer's methods during a step, and how often images are opened."""

    METHODS = (
        ("_generate_single_turn", "rollout"),
        ("_get_per_token_logps_and_entropies", "scores"),
        ("_calculate_rewards", "rewards"),
        ("_prepare_inputs", "before"),
        ("training_step", "step"),
    )

    def __init__(self, trainer: Any) -> None:
        from datasets import Image

        from legor1.training import grpo

        self.begin()
        processor = trainer.processing_class.image_processor
        kind = type(getattr(processor, "processor", processor))
        places = [(trainer, method, name) for method, name in self.METHODS]
        places += [(kind, "__call__", "cut"), (Image, "decode_example", "opened")]
        for owner, method, name in [*places, (grpo, "open_image", "opened")]:
            setattr(owner, method, self._timed(getattr(owner, method), name))

    def begin(self) -> None:
        """Begin anew."""
        self.spent: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def _timed(self, method: Any, name: str) -> Any:
        import torch

        def timed(*args: Any, **kwargs: Any) -> Any:
            # The policy's scores belong to the loss, whose backward pass is timed with them.
            key = "loss scores" if name == "scores" and torch.is_grad_enabled() else name
            started = time.process_time()
            result = method(*args, **kwargs)
            self.spent[key] += time.process_time() - started
            self.calls[key] += 1
            return result

        return timed

    def read(self, logs: dict[str, Any], cpu: float) -> dict[str, float]:
        """Return the stages of a step that took ``cpu`` seconds, and its completions' length."""
        spent = self.spent
        stages = {"rollout": spent["rollout"], "reference": spent["scores"]}
        stages |= {"loss": spent["step"] - spent["before"], "rewards": spent["rewards"]}
        stages["images"] = spent["opened"] + spent["cut"]
        stages["rest"] = cpu - sum(stages.values())
        counts = {name: float(self.calls[name]) for name in ("opened", "cut")}
        return stages | counts | {"tokens": float(logs["completions/mean_length"])}


def line(name: str, case: Case, steps: list[dict[str, float]]) -> str:
    """Return one row of the table: medians over the steps."""
    m = {key: statistics.median(step[key] for step in steps) for key in steps[0]}
    stages = "  ".join(f"{m[key]:6.2f}" for key in ("rollout", "reference", "loss"))
    stages += f" {m['rewards']:7.4f} {m['images']:6.2f} {m['rest']:5.2f}"
    count = GENERATIONS * case.prompts
    share = statistics.median(step["flops"] / step["cpu"] / step["speed"] for step in steps)
    peak = max(step["peak"] for step in steps)
    return (
        f"{case.name:7} {name:6} {count / m['wall']:6.2f} {count / m['cpu']:6.2f}  {m['cpu']:6.2f} "
        f"{stages}  {peak:5.0f} {m['flops'] / 1e9:5.0f} {share:5.0%}"
    )


HEAD = """
              completions/s      CPU seconds of a step                           peak         of
                clock   CPU    whole rollout  refer.    loss rewards images  rest   MiB GFLOP matmul
"""


def show(case: Case) -> None:
    """Run a case and print its rows; the first step, in which work is counted, is not timed."""
    took = compare(partial(make_trainer, case), Stages, steps=case.steps + 1, counted=1)
    stock, ours = took[False][1:], took[True][1:]
    print(line("stock", case, stock))
    print(line("shared", case, ours))
    print(summary(case, stock, ours), flush=True)


def summary(case: Case, stock: list[dict[str, float]], ours: list[dict[str, float]]) -> str:
    """Return what the pair says: speed, memory, and whether both computed the same."""
    pairs = list(zip(stock, ours, strict=True))
    wall, cpu = (statistics.median(a[k] / b[k] for a, b in pairs) for k in ("wall", "cpu"))
    peak = max(b["peak"] for _, b in pairs) / max(a["peak"] for a, _ in pairs)
    loss = max(abs(a["logged loss"] - b["logged loss"]) for a, b in pairs)
    length = statistics.mean(b["tokens"] for b in ours)
    images = ", ".join(
        f"{one['opened']:.0f} opened, {one['cut']:.0f} cut, {one['images'] / one['cpu']:.0%}"
        for one in (stock[-1], ours[-1])
    )
    return (
        f"        × {cpu:.2f} by CPU time (target {case.faster}), × {wall:.2f} by the clock; "
        f"peak × {peak:.2f}; losses equal within {loss:.1e}; {length:.0f} tokens a completion\n"
        f"        images of a step, and their share of its CPU time, stock and ours: {images}\n"
    )


if __name__ == "__main__":
    run(__doc__.partition("\n")[0], HEAD, CASES, show)
