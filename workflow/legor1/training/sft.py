"""Supervised fine-tuning by TRL's ``SFTTrainer``, examples packed; loss on the answer alone.

Run by ``legor1 train`` through accelerate and DeepSpeed: ``… --module legor1.training.sft JOB``.
"""

import sys

from datasets import List
from trl import SFTConfig, SFTTrainer

from legor1.models.family import Model, Recipe
from legor1.tasks.prompts import answer, assistant
from legor1.training.fast.packed_trainer import PackedSFTTrainer, Upright, obstacle
from legor1.training.job import Job, main


def trainer_for(model: Model, settings: Recipe, *, quiet: bool = False) -> type[SFTTrainer]:
    """Return the trainer: packed if wanted and exact; else TRL's and, unless ``quiet``, say why."""
    wanted = settings.get("pack_examples", True)
    reason = obstacle(model) if wanted else None
    if reason and not quiet:
        print(f"Examples are padded, and prepared again in each epoch: {reason}.", file=sys.stderr)
    return PackedSFTTrainer if wanted and not reason else SFTTrainer


def set_loss_mean(trainer: SFTTrainer, over: str) -> None:
    """Have ``trainer`` average over the answer tokens of a ``step``, or of each ``forward_pass``.

    transformers does the latter with Qwen2.5-VL, whose loss takes no token count: then a token in a
    batch of short answers weighs more than in one of long answers. TRL has a loss of its own.
    """
    trainer.model_accepts_loss_kwargs = over == "step"


def run(job: Job) -> None:
    """Train the adapter that ``job`` describes."""
    dataset = job.dataset(completion=lambda row: [assistant(answer(row, job.budget))])
    model = job.model()
    arguments = SFTConfig(max_length=None, **job.arguments())  # a cut prompt loses image tokens
    trainer = trainer_for(model, job.settings, quiet=arguments.process_index > 0)(
        model=model,
        args=arguments,
        train_dataset=dataset.cast_column("images", List(Upright())),
        processing_class=job.processor,
        peft_config=None if job.start_from else job.lora(),
    )
    set_loss_mean(trainer, job.settings.get("loss_mean", "step"))
    job.run(trainer)


if __name__ == "__main__":
    main(run)
