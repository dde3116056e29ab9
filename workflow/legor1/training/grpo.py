"""Group-relative policy optimisation by TRL's ``GRPOTrainer``.

Run by ``legor1 train`` through accelerate and DeepSpeed: ``… --module legor1.training.grpo JOB``.
"""

from collections.abc import Callable
from typing import Any

from trl import GRPOConfig, GRPOTrainer

from legor1.boxes import to_percent
from legor1.rewards import Suite, suite
from legor1.training.experiment import Job, main

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


def run(job: Job) -> None:
    """Train the adapter that ``job`` describes."""
    settings = job.settings
    rewards, names = suite(settings["suite"]), list(settings["rewards"])
    arguments = GRPOConfig(
        num_generations=settings["generations"],
        max_completion_length=settings["max_new_tokens"],
        temperature=settings["temperature"],
        beta=settings["beta"],
        loss_type=settings["loss_type"],
        reward_weights=[settings["rewards"][name] for name in names],
        **job.arguments(),
    )
    trainer = GRPOTrainer(
        model=job.model(),
        reward_funcs=[batched(name, rewards) for name in names],
        args=arguments,
        train_dataset=job.dataset(
            solution=lambda row: rewards.solution(job.answer(row)),
            task=lambda row: row["task"],
            size=job.shown_size,
        ),
        processing_class=job.processor(),
        peft_config=job.lora(),
    )
    job.run(trainer)


if __name__ == "__main__":
    main(run)
