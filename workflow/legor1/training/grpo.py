"""Group-relative policy optimisation by TRL's ``GRPOTrainer``, prompts computed once a group.

Run by ``legor1 train`` through accelerate and DeepSpeed: ``… --module legor1.training.grpo JOB``.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer

from legor1.core.boxes import to_percent
from legor1.core.errors import UserError
from legor1.core.images import open_image
from legor1.evaluation import suites
from legor1.evaluation.suites import SUITES
from legor1.tasks.rewards import Suite
from legor1.training.fast.group_trainer import SharedPromptGRPOTrainer, obstacle
from legor1.training.images_by_path import by_path
from legor1.training.job import Job, main

BatchReward = Callable[..., list[float | None]]


def batched(name: str, suite: Suite) -> BatchReward:
    """Return the reward ``name`` as TRL calls it: columns as lists, one entry a completion.

    A suite that guesses takes the task of all from the first solution, as the published code did:
    only in batches of several tasks does that matter.
    """
    reward = suites.reward(suite, name)

    def score(
        completions: list[Any], solution: list[str], task: list[str], **columns: Any
    ) -> list[float | None]:
        texts = [turns[0]["content"] for turns in completions]
        if suite.percent:
            texts, solution = (
                [to_percent(*answer) for answer in zip(answers, columns["size"], strict=True)]
                for answers in (texts, solution)
            )
        tasks = [suite.infer_task(solution[0])] * len(task) if suite.guesses else task
        samples = [
            {"completion": completion, "solution": true, "task": own}
            for completion, true, own in zip(texts, solution, tasks, strict=True)
        ]
        if suites.is_own(name):
            samples = _with_rows(samples, columns, "image" in suites.wanted(reward))
        return [suites.call(reward, sample) for sample in samples]

    score.__name__ = suites.label(name)
    return score


def _with_rows(samples: list[Any], columns: dict[str, Any], with_images: bool) -> list[Any]:
    """Return samples with what a user's own reward may ask for besides."""
    paths = {row["image"] for row in columns["row"]} if with_images else ()
    images = {path: open_image(Path(path)) for path in paths}
    rows = zip(samples, columns["row"], columns["completion_ids"], strict=True)
    return [
        {**sample, **row, "image": images.get(row["image"]), "tokens": list(tokens)}
        for sample, row, tokens in rows
    ]


def trainer_for(
    model: Any, lora: LoraConfig, settings: dict[str, Any], *, quiet: bool = False
) -> Callable[..., GRPOTrainer]:
    """Return what makes the trainer: prompts shared where that is asked for and exact, else stock.

    Args:
        model: the base model.
        lora: what is put on it.
        settings: ``training`` of the recipe.
        quiet: do not say on stderr why the stock trainer is taken.
    """
    if not settings.get("share_prompts", True):
        return GRPOTrainer
    reason = obstacle(model, [lora])
    if reason is None:
        return partial(SharedPromptGRPOTrainer, check=settings.get("check_sharing", False))
    if not quiet:
        print(f"Each completion computes its prompt anew: {reason}.", file=sys.stderr)
    return GRPOTrainer


def run(job: Job) -> None:
    """Train the adapter that ``job`` describes."""
    settings = job.settings
    suite, names = SUITES[settings["suite"]], list(settings["rewards"])
    arguments = GRPOConfig(
        num_generations=settings["generations"],
        max_completion_length=settings["max_new_tokens"],
        temperature=settings["temperature"],
        repetition_penalty=float(settings["repetition_penalty"]),
        beta=settings["beta"],
        loss_type=settings["loss_type"],
        scale_rewards=settings["scale_rewards"],
        reward_weights=[settings["rewards"][name] for name in names],
        **job.arguments(),
    )
    columns: dict[str, Callable[[dict[str, Any]], Any]] = {
        "solution": lambda row: suite.solution(job.answer(row)),
        "task": lambda row: row["task"],
        "size": job.shown_size,
    }
    if any(map(suites.is_own, names)):
        columns["row"] = lambda row: suites.fields(row) | {"image": job.image(row["image"])}
    dataset = job.dataset(**columns)
    prompts = settings["batch_size"] * settings["accumulation"] * arguments.world_size
    prompts //= settings["generations"]
    if len(dataset) < prompts:
        raise UserError(
            f"a step takes {prompts} prompts, and there are {len(dataset)} rows. "
            "Remedy: lower training.batch_size or training.accumulation, or add rows."
        )
    model, lora = job.model(), job.lora()
    quiet = arguments.process_index > 0
    trainer = trainer_for(model, lora, settings, quiet=quiet)(
        model=model,
        reward_funcs=[batched(name, suite) for name in names],
        args=arguments,
        train_dataset=dataset,
        processing_class=by_path(job.processor),
        peft_config=lora,
    )
    job.run(trainer)


if __name__ == "__main__":
    main(run)
