"""Group-relative policy optimisation by TRL's ``GRPOTrainer``, prompts computed once a group.

Run by ``legor1 train`` through accelerate and DeepSpeed: ``… --module legor1.training.grpo JOB``.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer

from legor1.core.boxes import to_percent
from legor1.core.errors import UserError
from legor1.evaluation.rewards import Suite, suite
from legor1.training.fast.group_trainer import SharedPromptGRPOTrainer, obstacle
from legor1.training.images_by_path import by_path
from legor1.training.job import Job, main

BatchReward = Callable[..., list[float | None]]


def batched(name: str, rewards: Suite) -> BatchReward:
    """Return the reward ``name`` as TRL calls it: columns as lists, one entry a completion.

    A suite that guesses takes the task of all from the first solution, as the published code did:
    only in batches of several tasks does that matter.
    """
    reward = rewards.rewards[name]

    def score(
        completions: list[Any], solution: list[str], task: list[str], **columns: Any
    ) -> list[float | None]:
        texts = [turns[0]["content"] for turns in completions]
        if rewards.percent:
            texts, solution = (
                [to_percent(*answer) for answer in zip(answers, columns["size"], strict=True)]
                for answers in (texts, solution)
            )
        tasks = [rewards.infer_task(solution[0])] * len(task) if rewards.guesses else task
        return [reward(*sample) for sample in zip(texts, solution, tasks, strict=True)]

    score.__name__ = name
    return score


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
    rewards, names = suite(settings["suite"]), list(settings["rewards"])
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
    dataset = job.dataset(
        solution=lambda row: rewards.solution(job.answer(row)),
        task=lambda row: row["task"],
        size=job.shown_size,
    )
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
        reward_funcs=[batched(name, rewards) for name in names],
        args=arguments,
        train_dataset=dataset,
        processing_class=by_path(job.processor),
        peft_config=lora,
    )
    job.run(trainer)


if __name__ == "__main__":
    main(run)
