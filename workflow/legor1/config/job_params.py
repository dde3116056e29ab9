"""What a training or a prediction depends on: the part of a run's config that its job is given.

Whatever is left out cannot rerun it, so a recipe holds just what its stage uses.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from legor1.config import fields as of
from legor1.config import models
from legor1.config.fields import Count, Seed, Switch, key
from legor1.config.validation_errors import validated

Recipe = dict[str, Any]
# What these change is in the conversations, in the predictions, or in a name.
ELSEWHERE = ("protocol", "variant", "inference", "repeats")


class Job(models.Settings):
    """What fixes a model's numbers, in training and in inference, and how long a prompt may be.

    A recipe is resolved: what has a default in a config has none here.
    """

    experiment: str = key("The name of the experiment", min_length=1)
    device: of.Device
    precision: of.Precision
    attention: of.Attention
    max_tokens: Count | None = None
    threads: Count
    pixel_budget: models.PixelBudget
    demonstrations: Switch


class PredictionJob(Job):
    """The recipe of ``legor1 predict``."""

    engine: of.Engine
    batch_tokens: Count | None
    batch_size: Count | None
    max_new_tokens: Count
    repetition_penalty: of.AboveZero
    sampling: models.Sampling | None = None
    seed: Seed = key("Of what is drawn; greedy answers need none", None)


class IndexJob(models.Format):
    """The recipe of ``legor1 index`` for a folder that is not in LEGO-ARTA's layout."""

    format: Literal["coco", "yolo", "jsonl"]
    files: str


class ImportJob(models.Settings):
    """The recipe of ``legor1 import-answers``."""

    frame: of.AnswerFrame
    pixel_budget: models.PixelBudget


class TrainingJob(Job):
    """The recipe of ``legor1 train``."""

    method: str
    processes: Count
    seed: Seed
    tasks: of.Names
    rows_per_task: Count
    start_from: str = key("The experiment whose adapter it continues", None)
    lora: models.Lora
    training: models.Training


class SftJob(TrainingJob):
    """Supervised fine-tuning."""

    method: Literal["sft"]
    training: models.SftTraining


class GrpoJob(TrainingJob):
    """Group relative policy optimisation."""

    method: Literal["grpo"]
    training: models.GrpoTraining


TRAINED = Annotated[SftJob | GrpoJob, Field(discriminator="method")]
JOBS: dict[str, Any] = {
    "train": TRAINED,
    "predict": PredictionJob,
    "import": ImportJob,
    "index": IndexJob,
    "build-base": models.Rebuild,
}


def training_job(config: models.Config | Mapping[str, object], experiment: str) -> TrainingJob:
    """Return what the training of an experiment of a resolved config depends on."""
    config = models.Config.model_validate(config)
    own = config.experiments[experiment].as_mapping()
    for name in (*ELSEWHERE, "pixel_budget"):  # which is here as it comes out
        own.pop(name, None)
    shared = {"processes": config.processes, "seed": config.seed}
    recipe = _numerics(config, experiment) | shared | own
    job: TrainingJob = TypeAdapter(TRAINED).validate_python(recipe)
    return job


def prediction_job(config: models.Config | Mapping[str, object], experiment: str) -> PredictionJob:
    """Return what the predictions of an experiment of a resolved config depend on."""
    config = models.Config.model_validate(config)
    settings, inference = config.experiments[experiment], config.inference_of(experiment)
    recipe = _numerics(config, experiment) | inference.as_mapping()
    recipe["pixel_budget"] = config.tested_at(experiment)
    del recipe["shards"]
    recipe |= {"batch_tokens": inference.batch_tokens, "batch_size": inference.batch_size}
    if inference.sampling:  # the seed has no say in greedy answers
        own = settings.seed if isinstance(settings, models.Trained) else None
        recipe["seed"] = config.seed if own is None else own
    return PredictionJob.model_validate(recipe)


def index_job(config: models.Config | Mapping[str, object]) -> IndexJob | None:
    """Return how the dataset's own format is read, None for LEGO-ARTA's layout."""
    dataset = models.Config.model_validate(config).dataset
    block = getattr(dataset, dataset.source)
    if not isinstance(block, models.Files) or dataset.own is None:
        return None
    recipe = block.as_mapping() | {"format": dataset.source, "files": dataset.own[1]}
    del recipe["folder"]
    return IndexJob.model_validate(recipe)


def import_job(config: models.Config | Mapping[str, object], experiment: str) -> ImportJob:
    """Return what the reading of an experiment's answers from elsewhere depends on."""
    config = models.Config.model_validate(config)
    own = {"frame": getattr(config.experiments[experiment], "frame", "asked")}
    return ImportJob.model_validate(own | {"pixel_budget": config.tested_at(experiment)})


def _numerics(config: models.Config, experiment: str) -> Recipe:
    names = ("device", "precision", "attention", "max_tokens", "threads")
    return {name: getattr(config, name) for name in names} | {
        "experiment": experiment,
        "pixel_budget": config.pixel_budget_of(experiment),
        "demonstrations": config.experiments[experiment].demonstrations,
    }


def checked(recipe: object, job: str) -> Recipe:
    """Return the recipe of a command with its defaults; a UserError names all that is wrong."""
    return dict(validated(JOBS[job], recipe, "the recipe has errors").as_mapping())
