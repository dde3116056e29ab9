"""SFT on CPU: examples packed and made ready once, against TRL's stock trainer, over three epochs.

    make benchmark-sft         about 4 minutes of one core's time

Both trainers run side by side in processes of their own and take turns, a step each, so that the
machine's moods reach both. They train from the same seed on the same examples, so they must report
the same losses. A step is everything: images, tokens, vision tower, loss, optimiser. Float32,
few-shot prompts of two images (object and grounding) on drawn manuals. The first step, which warms
both up, is not timed. Later epochs find the images known.

- tiny: the shipped base model, images as in the demo, batches of 8.
- middle: text 512 × 8 layers, images up to 336 × 336 pixels, batches of 4; random weights. Its
  vision tower has a step's share as in the 7B model: there a visual token costs 2.7 GMAC in the
  tower and 13 in the decoder, forward and backward: 16 % of a step where nine tokens in ten are
  visual.
"""

import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import models
from drawing import draw
from measuring import run
from side_by_side import compare

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

EPOCHS = 3
FASTER = 1.5  # the target: stock CPU time by ours, over all epochs


@dataclass(frozen=True)
class Case:
    """A model and a workload.

    Attributes:
        pixels: an image's at most, after resizing.
        batch: examples of a step.
        steps: of an epoch.
        attention: of a model on the GPU.
    """

    name: str
    pixels: int
    batch: int
    steps: int
    attention: str = "sdpa"


CASES = [Case("tiny", 15680, 8, 12), Case("middle", 336 * 336, 4, 4)]


def make_trainer(case: Case, data: Path, ours: bool, out: str) -> Any:
    """Return the trainer of one side; it goes a step beyond the last epoch."""
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from legor1.models.loading import load_processor
    from legor1.models.registry import DEFAULT
    from legor1.training.fast.packed_trainer import PackedSFTTrainer

    budget = DEFAULT.budget(case.pixels * 3 // 5, case.pixels)
    return (PackedSFTTrainer if ours else SFTTrainer)(
        model=models.make(case.name, case.attention, frozen=ours, vision_layers=3),
        args=SFTConfig(
            output_dir=out,
            per_device_train_batch_size=case.batch,
            max_length=None,
            max_steps=EPOCHS * case.steps + 1,
            learning_rate=1e-4,
            use_cpu=case.name != "real",
            bf16=case.name == "real",
            gradient_checkpointing=case.name == "real",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=make_dataset(case, budget, data),
        processing_class=load_processor(models.TINY, budget, padding_side="left"),
        peft_config=LoraConfig(r=8, lora_alpha=16, target_modules=DEFAULT.lora_targets),
    )


def make_dataset(case: Case, budget: Any, data: Path) -> Any:
    """Return the first rows of the drawn conversations that ask for objects or grounding."""
    from datasets import Dataset, Image, List

    from legor1.core.files import read_jsonl
    from legor1.tasks.prompts import answer, chat_messages

    rows = read_jsonl(data / "conversations/plain/train.jsonl", ["task"])
    rows = [row for row in rows if row["task"] != "state"][: case.batch * case.steps]
    table = []
    for row in rows:
        turns = chat_messages(row, budget, demonstrations=True)
        parts = [part for turn in turns for part in turn["content"]]
        images = [str(data / "tree" / part.pop("image")) for part in parts if "image" in part]
        said = [{"type": "text", "text": answer(row, budget)}]
        completion = [{"role": "assistant", "content": said}]
        table.append({"prompt": turns, "completion": completion, "images": images})
    return Dataset.from_list(table).cast_column("images", List(Image()))


class Vision:
    """CPU seconds in the vision tower during a step, and the tokens of the step."""

    def __init__(self, trainer: Any) -> None:
        visual = trainer.model.get_base_model().model.visual
        self.forward, visual.forward = visual.forward, self.see
        self.tokens = 0.0  # so far

    def begin(self) -> None:
        """Begin anew."""
        self.spent = 0.0

    def see(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the tower does, and note how long it takes."""
        started = time.process_time()
        result = self.forward(*args, **kwargs)
        self.spent += time.process_time() - started
        return result

    def read(self, logs: dict[str, Any], cpu: float) -> dict[str, float]:
        """Return the step's seconds and tokens."""
        before, self.tokens = self.tokens, float(logs["num_tokens"])
        return {"vision": self.spent, "tokens": self.tokens - before}


Steps = list[dict[str, float]]


def epochs(case: Case, steps: Steps) -> dict[str, Steps]:
    """Return the timed steps by epoch."""
    return {
        "first": steps[1 : case.steps],
        "later": steps[case.steps : EPOCHS * case.steps],
        "all": steps[1 : EPOCHS * case.steps],
    }


def line(name: str, case: Case, steps: Steps) -> str:
    """Return one row of the table."""

    def speed(some: Steps, clock: str) -> str:
        return f"{case.batch * len(some) / sum(step[clock] for step in some):6.2f}"

    parts, last = epochs(case, steps), steps[-1]
    timed = parts["all"]
    speeds = "  ".join(speed(some, clock) for some in parts.values() for clock in ("wall", "cpu"))
    vision = sum(step["vision"] for step in timed) / sum(step["cpu"] for step in timed)
    flops = last["flops"] / last["tokens"]
    share = statistics.median(
        flops * step["tokens"] / step["cpu"] / step["speed"] for step in parts["later"]
    )
    peak = max(step["peak"] for step in timed)
    costs = f"{vision:6.0%}  {peak:6.0f} {flops / 1e6:6.0f} {share:6.0%}"
    return f"{case.name:7} {name:6} {speeds}  {costs}"


HEAD = """
               examples a second by the clock and by CPU time
                first epoch      later epochs      all epochs     vision    peak  MFLOP     of
                clock    CPU     clock    CPU     clock    CPU   of step     MiB a token matmul
"""


def summary(case: Case, stock: Steps, ours: Steps) -> str:
    """Return what the pair says: speed, memory, and whether both computed the same."""
    theirs, mine = epochs(case, stock), epochs(case, ours)

    def ratio(epoch: str, clock: str) -> float:
        spent = (sum(step[clock] for step in side[epoch]) for side in (theirs, mine))
        return next(spent) / next(spent)

    by_cpu = ", ".join(f"{epoch} × {ratio(epoch, 'cpu'):.2f}" for epoch in theirs)
    peak = max(step["peak"] for step in mine["all"]) / max(step["peak"] for step in theirs["all"])
    loss = max(abs(a["logged loss"] - b["logged loss"]) for a, b in zip(stock, ours, strict=True))
    return (
        f"        by CPU time {by_cpu} (target {FASTER}); clock × {ratio('all', 'wall'):.2f};"
        f" peak × {peak:.2f}; losses equal within {loss:.1e}\n"
    )


def show(data: Path, case: Case) -> None:
    """Run a case and print its rows; work is counted in the last step, which is not timed."""
    steps = EPOCHS * case.steps + 1
    took = compare(partial(make_trainer, case, data), Vision, steps=steps, counted=steps)
    print(line("stock", case, took[False]))
    print(line("packed", case, took[True]))
    print(summary(case, took[False], took[True]), flush=True)


def main() -> None:
    """Draw the data, run the cases and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), manuals=16, steps=4, objects=12)
        run(__doc__.partition("\n")[0], HEAD, CASES, partial(show, Path(folder)))


if __name__ == "__main__":
    main()
