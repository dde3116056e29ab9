"""What a training or a prediction depends on: the part of a run's config that its job is given.

Whatever is left out cannot rerun it, so a recipe holds just what its stage uses.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from legor1.config import fields as of
from legor1.config.fields import Count, Seed, Switch, key
from legor1.config.models import (
    Config,
    Files,
    Format,
    GrpoTraining,
    Lora,
    PixelBudget,
    Rebuild,
    Sampling,
    Settings,
    SftTraining,
    Trained,
    Training,
)
from legor1.config.validation_errors import describe
from legor1.core.errors import UserError

Recipe = dict[str, Any]
# What these change is in the conversations, in the predictions, or in a name.
ELSEWHERE = ("protocol", "variant", "inference", "repeats")


class Job(Settings):
    """What fixes a model's numbers, in training and in inference, and how long a prompt may be.

    A recipe is resolved: what has a default in a config has none here.
    """

    experiment: str = key("The name of the experiment", min_length=1)
    device: of.Device
    precision: of.Precision
    attention: of.Attention
    max_tokens: Count | None = None
    threads: Count
    pixel_budget: PixelBudget
    demonstrations: Switch


class PredictionJob(Job):
    """The recipe of ``legor1 predict``."""

    engine: of.Engine
    batch_tokens: Count | None
    batch_size: Count | None
    max_new_tokens: Count
    repetition_penalty: of.AboveZero
    sampling: Sampling | None = None
    seed: Seed = key("Of what is drawn; greedy answers need none", None)


class IndexJob(Format):
    """The recipe of ``legor1 index`` for a folder that is not in LEGO-ARTA's layout."""

    format: Literal["coco", "yolo", "jsonl"]
    files: str


class ImportJob(Settings):
    """The recipe of ``legor1 import-answers``."""

    frame: of.AnswerFrame
    pixel_budget: PixelBudget


class TrainingJob(Job):
    """The recipe of ``legor1 train``."""

    method: str
    processes: Count
    seed: Seed
    tasks: of.Names
    rows_per_task: Count
    start_from: str = key("The experiment whose adapter it continues", None)
    lora: Lora
    training: Training


class SftJob(TrainingJob):
    """Supervised fine-tuning."""

    method: Literal["sft"]
    training: SftTraining


class GrpoJob(TrainingJob):
    """Group relative policy optimisation."""

    method: Literal["grpo"]
    training: GrpoTraining


TRAINED = Annotated[SftJob | GrpoJob, Field(discriminator="method")]
JOBS: dict[str, Any] = {
    "train": TRAINED,
    "predict": PredictionJob,
    "import": ImportJob,
    "index": IndexJob,
    "build-base": Rebuild,
}


def training_job(config: Config | Mapping[str, object], experiment: str) -> TrainingJob:
    """Return what the training of an experiment of a resolved config depends on."""
    config = Config.model_validate(config)
    own = config.experiments[experiment].as_mapping()
    for name in (*ELSEWHERE, "pixel_budget"):  # which is here as it comes out
        own.pop(name, None)
    shared = {"processes": config.processes, "seed": config.seed}
    recipe = _numerics(config, experiment) | shared | own
    job: TrainingJob = TypeAdapter(TRAINED).validate_python(recipe)
    return job


def prediction_job(config: Config | Mapping[str, object], experiment: str) -> PredictionJob:
    """Return what the predictions of an experiment of a resolved config depend on."""
    config = Config.model_validate(config)
    settings, inference = config.experiments[experiment], config.inference_of(experiment)
    recipe = _numerics(config, experiment) | inference.as_mapping()
    recipe["pixel_budget"] = config.tested_at(experiment)
    del recipe["shards"]
    recipe |= {"batch_tokens": inference.batch_tokens, "batch_size": inference.batch_size}
    if inference.sampling:  # the seed has no say in greedy answers
        own = settings.seed if isinstance(settings, Trained) else None
        recipe["seed"] = config.seed if own is None else own
    return PredictionJob.model_validate(recipe)


def index_job(config: Config | Mapping[str, object]) -> IndexJob | None:
    """Return how the dataset's own format is read, None for LEGO-ARTA's layout."""
    dataset = Config.model_validate(config).dataset
    block = getattr(dataset, dataset.source)
    if not isinstance(block, Files) or dataset.own is None:
        return None
    recipe = block.as_mapping() | {"format": dataset.source, "files": dataset.own[1]}
    del recipe["folder"]
    return IndexJob.model_validate(recipe)


def import_job(config: Config | Mapping[str, object], experiment: str) -> ImportJob:
    """Return what the reading of an experiment's answers from elsewhere depends on."""
    config = Config.model_validate(config)
    own = {"frame": getattr(config.experiments[experiment], "frame", "asked")}
    return ImportJob.model_validate(own | {"pixel_budget": config.tested_at(experiment)})


def _numerics(config: Config, experiment: str) -> Recipe:
    names = ("device", "precision", "attention", "max_tokens", "threads")
    return {name: getattr(config, name) for name in names} | {
        "experiment": experiment,
        "pixel_budget": config.pixel_budget_of(experiment),
        "demonstrations": config.experiments[experiment].demonstrations,
    }


def checked(recipe: object, job: str) -> Recipe:
    """Return the recipe of a command with its defaults; a UserError names all that is wrong."""
    try:
        return dict(TypeAdapter(JOBS[job]).validate_python(recipe).as_mapping())
    except ValidationError as error:
        problems = describe(error, JOBS[job])
        raise UserError("the recipe has errors:\n  " + "\n  ".join(problems)) from error
