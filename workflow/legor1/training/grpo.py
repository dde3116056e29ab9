"""Group-relative policy optimisation by TRL's ``GRPOTrainer``, prompts computed once per group.

Run by ``legor1 train`` through accelerate and DeepSpeed: ``… --module legor1.training.grpo JOB``.
"""

import copy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from peft import LoraConfig
from torch import Tensor
from transformers import BatchFeature
from trl import GRPOConfig, GRPOTrainer

from legor1.core.boxes import shown_size, to_percent
from legor1.core.errors import UserError
from legor1.core.images import open_image
from legor1.evaluation import suites
from legor1.evaluation.suites import SUITES
from legor1.models.family import Model, Processor, Recipe
from legor1.tasks.prompts import answer
from legor1.tasks.rewards import Suite
from legor1.training.fast.group_trainer import SharedPromptGRPOTrainer, obstacle
from legor1.training.job import Job, main

BatchReward = Callable[..., list[float | None]]


def batched(name: str, suite: Suite) -> BatchReward:
    """Return the reward ``name`` as TRL calls it: columns as lists, one entry per completion.

    A suite that infers the task takes it for all from the first solution, as the published code
    did, which matters only in batches of several tasks.
    """
    reward = suites.reward(suite, name)

    def score(
        completions: list[list[dict]], solution: list[str], task: list[str], **columns: list
    ) -> list[float | None]:
        texts = [turns[0]["content"] for turns in completions]
        if suite.percent:
            texts, solution = (
                [to_percent(*answer) for answer in zip(answers, columns["size"], strict=True)]
                for answers in (texts, solution)
            )
        tasks = [suite.infer_task(solution[0])] * len(task) if suite.infer_task else task
        samples = [
            {"completion": completion, "solution": truth, "task": own}
            for completion, truth, own in zip(texts, solution, tasks, strict=True)
        ]
        if suites.is_own(name):
            samples = _with_rows(samples, columns, "image" in suites.wanted(reward))
        return [suites.call(reward, sample) for sample in samples]

    score.__name__ = suites.label(name)
    return score


def _with_rows(samples: list[dict], columns: dict[str, list], with_images: bool) -> list[dict]:
    """Return samples with everything else that a user's own reward may ask for."""
    paths = {row["image"] for row in columns["row"]} if with_images else ()
    images = {path: open_image(Path(path)) for path in paths}
    rows = zip(samples, columns["row"], columns["completion_ids"], strict=True)
    return [
        {**sample, **row, "image": images.get(row["image"]), "tokens": list(tokens)}
        for sample, row, tokens in rows
    ]


class ImagesByPath:
    """The model's image processor, but rows name their images, each opened and cut once per step.

    GRPO shows an image in all completions of a prompt, TRL hands the prompts to the processor twice
    per step, and its data loader reads a step's rows again for every forward pass. A row that holds
    paths makes that free.
    """

    def __init__(self, processor: Processor) -> None:
        self.processor = processor
        self.cut: dict[str, BatchFeature] = {}  # of the rows that were fetched last

    def __getattr__(self, name: str) -> object:
        return getattr(self.processor, name)

    def __deepcopy__(self, memo: dict) -> Processor:
        """Return a copy of the image processor alone: transformers saves what it has copied."""
        return copy.deepcopy(self.processor, memo)

    def fetch_images(self, rows: list[list[str] | None]) -> list[list[Tensor]]:
        """Return the patches of each row's images, (n, width), in place of the images."""
        paths = dict.fromkeys(path for row in rows for path in row or ())
        self.cut = {path: self.cut.get(path) or self._cut(path) for path in paths}
        return [[self.cut[path]["pixel_values"] for path in row or ()] for row in rows]

    def __call__(self, images: list[list[Tensor]], **_: object) -> BatchFeature:
        """Return all patches and grids in one, given what ``fetch_images`` returned."""
        grids = {id(made["pixel_values"]): made["image_grid_thw"] for made in self.cut.values()}
        patches = [patch for row in images for patch in row]
        grid = torch.cat([grids[id(patch)] for patch in patches])
        return BatchFeature({"pixel_values": torch.cat(patches), "image_grid_thw": grid})

    def _cut(self, path: str) -> BatchFeature:
        return self.processor(images=[open_image(Path(path))], return_tensors="pt")


def by_path(processor: Processor) -> Processor:
    """Return a copy of the model's ``processor`` that takes images by path."""
    made = copy.copy(processor)
    made.image_processor = ImagesByPath(processor.image_processor)
    return made


def trainer_for(
    model: Model, lora: LoraConfig, settings: Recipe, *, quiet: bool = False
) -> Callable[..., GRPOTrainer]:
    """Return the trainer's constructor: prompts shared if ``settings`` ask for it and it is exact.

    Otherwise it is TRL's own, and unless ``quiet``, stderr says why.
    """
    wanted = settings.get("share_prompts", True)
    reason = obstacle(model, [lora]) if wanted else None
    if wanted and not reason:
        return partial(SharedPromptGRPOTrainer, check=settings.get("check_sharing", False))
    if reason and not quiet:
        print(f"Prompts are computed again for each completion: {reason}.", file=sys.stderr)
    return GRPOTrainer


def run(job: Job) -> None:
    """Train the adapter that ``job`` describes."""
    settings = job.settings
    suite, names = SUITES[settings["suite"]], list(settings["rewards"])
    same = {name: settings[name] for name in ("temperature", "beta", "loss_type", "scale_rewards")}
    arguments = GRPOConfig(
        num_generations=settings["generations"],
        max_completion_length=settings["max_new_tokens"],
        repetition_penalty=float(settings["repetition_penalty"]),
        reward_weights=[settings["rewards"][name] for name in names],
        **same,
        **job.arguments(),
    )
    budget = job.budget
    columns: dict[str, Callable[[dict], object]] = {
        "solution": lambda row: suite.solution(answer(row, budget)),
        "task": lambda row: row["task"],
        "size": lambda row: shown_size((row["width"], row["height"]), budget, row["box_frame"]),
    }
    if any(map(suites.is_own, names)):
        columns["row"] = lambda row: suites.fields(row) | {"image": str(job.tree / row["image"])}
    dataset = job.dataset(**columns)
    prompts = settings["batch_size"] * settings["accumulation"] * arguments.world_size
    prompts //= settings["generations"]
    if len(dataset) < prompts:
        raise UserError(
            f"a step takes {prompts} prompts, and there are {len(dataset)} rows. "
            "Remedy: lower training.batch_size or training.accumulation, or add rows."
        )
    model, lora = job.model(), job.lora()
    trainer = trainer_for(model, lora, settings, quiet=arguments.process_index > 0)(
        model=model,
        reward_funcs=[batched(name, suite) for name in names],
        args=arguments,
        train_dataset=dataset,
        processing_class=by_path(job.processor),
        peft_config=None if job.start_from else lora,
    )
    job.run(trainer)


if __name__ == "__main__":
    main(run)
