"""The settings of a run: each block a model, each key a field with its meaning."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from legor1.config import fields as of
from legor1.config.fields import UNIQUE, Count, Names, Seed, Switch, key
from legor1.core.layout import DIALOGUES

Block = TypeVar("Block", bound="Settings")
PENALTY = (
    "Scores of tokens that the prompt or the answer already has are divided by it, or "
    "multiplied below 0; 1: off"
)
FIND = "Find every object in the image."
PATTERNS = {  # of the files that say what is in a folder, by the source of the dataset
    "directory": DIALOGUES,
    "coco": "annotations/*.json",
    "yolo": "data.yaml",
    "jsonl": "*.jsonl",
}


class Settings(BaseModel):
    """A block of keys: an unknown one is an error, and none can be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def as_mapping(self) -> dict[str, Any]:
        """Return the keys and values with defaults, but without the nulls that nobody wrote."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        given = self.model_fields_set
        return {n: _plain(v) for n, v in values.items() if v is not None or n in given}

    def but(self: Block, own: "Settings | None") -> Block:
        """Return these settings with those that ``own`` has in their place."""
        given = {} if own is None else {name: getattr(own, name) for name in own.model_fields_set}
        return self.model_copy(update=given)


def _plain(value: object) -> object:
    if isinstance(value, Settings):
        return value.as_mapping()
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


class Hub(Settings):
    """A repository of the Hugging Face hub."""

    repo: str = key("owner/name on the hub", pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = key("Commit, tag or branch", "main", pattern=r"^[\w./-]+$")


class Scenes(Settings):
    """Brick manuals to draw."""

    manuals: Count
    steps: Count = key("Building steps a manual")
    objects: Count = key("Object images a manual")
    seed: Seed = key("Of the drawing alone")
    image_sizes: list[of.Size] = key("WIDTHxHEIGHT in pixels", ["480x360"], min_length=1)


class Format(Settings):
    """How a folder of examples in a format that others use is read."""

    files: str = key("Glob pattern of the files, below folder; else the format's own", None)
    group: of.Pattern | None = key(
        "Regular expression of what the images of one group share in their path, or a key of a "
        "line of jsonl; groups are split and resampled whole. null: each image is its own",
        None,
    )
    question: str = key("What is asked about each image, where the file asks nothing", FIND)
    boxes: of.BoxUnits = key("Units of boxes in the text of jsonl", "pixels")


class Files(Format):
    """A folder of examples in a format that others use."""

    folder: str = key("The files and images lie below it", min_length=1)


class Dataset(Settings):
    """Where the data come from."""

    source: Literal["huggingface", "directory", "synthetic", "coco", "yolo", "jsonl"]
    huggingface: Hub = key("A repository of the hub, where source is huggingface", None)
    directory: str | None = key("A folder that holds qwen_data/", None)
    synthetic: Scenes = key("What is drawn, where source is synthetic", None)
    coco: Files = key("COCO's detection files, where source is coco", None)
    yolo: Files = key("YOLO's folders of labels, where source is yolo", None)
    jsonl: Files = key("Conversations, a line of JSON each, where source is jsonl", None)

    @property
    def own(self) -> tuple[str, str] | None:
        """The user's folder, and the glob pattern of the files that say what is in it, if any."""
        block = getattr(self, self.source)
        if isinstance(block, Files):
            return block.folder, block.files or PATTERNS[self.source]
        return (block, PATTERNS["directory"]) if isinstance(block, str) else None


class Prepare(Settings):
    """How the data are divided."""

    test_fraction: of.Fraction = key("Of the rows", 0.25)


class Protocol(Settings):
    """How instances are split and become prompts."""

    defects: str | Annotated[list[str], *UNIQUE] = key(
        "none, all, or a list of names; [all, -self_demo] is all but that one"
    )
    object_format: Literal["json", "tags"] = key("JSON boxes, or tags in [0,100]", "json")


class PixelBudget(Settings):
    """The sizes that images are brought to."""

    min_pixels: of.Pixels = key("Smaller images are enlarged")
    max_pixels: of.Pixels = key("Larger images are reduced")


class OwnPixelBudget(PixelBudget):
    """What differs from the run's pixel_budget."""

    min_pixels: of.Pixels = key("Smaller images are enlarged", None)
    max_pixels: of.Pixels = key("Larger images are reduced", None)


class Sampling(Settings):
    """How tokens are drawn."""

    temperature: of.AboveZero
    top_p: of.Kept = key("Share of the probability to keep", 1.0)
    top_k: Count | None = key("Likeliest tokens to keep", None)


class OwnInference(Settings):
    """What differs from the run's inference."""

    batch_tokens: Count | None = key("Tokens a batch, padding and answers included", None)
    batch_size: Count | None = key("Prompts a batch; null where batch_tokens is given", None)
    max_new_tokens: Count = key("An answer has no more", None)
    repetition_penalty: of.AboveZero = key(PENALTY, None)
    sampling: Sampling | None = key("How tokens are drawn; null: greedy", None)
    pixel_budget: OwnPixelBudget = key("What differs from that of training", None)


class Inference(OwnInference):
    """How models answer."""

    engine: of.Engine = key("vllm is in an environment of its own", "transformers")
    max_new_tokens: Count = key("An answer has no more", 128)
    repetition_penalty: of.AboveZero = key(PENALTY, 1.0)
    shards: Count = key("Jobs that share an experiment's test set", 1)


class Architecture(Settings):
    """The tiny base model's own settings, as transformers names them."""

    text: dict[str, object]
    vision: dict[str, object]


class Stage(Settings):
    """A stage of the base model's training."""

    steps: Count
    images: Count = key("Drawn for a step by each process")
    learning_rate: of.AboveZero = key("Of matrices, by Muon; AdamW has half of it for the rest")


class Rebuild(Settings):
    """How the tiny base model is made: the recipe of ``legor1 build-base``."""

    seed: Seed
    processes: Count = key("CPU processes, of one thread each, that train together")
    image_sizes: list[of.Size] = key("WIDTHxHEIGHT in pixels", min_length=1)
    pixel_budget: PixelBudget
    vocabulary: of.VocabularySize = key("Tokens of the byte-level BPE")
    model: Architecture
    vision: Stage = key("The vision tower alone, by what each visual token shows")
    joint: Stage = key("Everything, by many questions about each image")
    demonstrations: of.Share = key("Share of steps whose questions follow solved examples")
    save_steps: Count = key("Steps from one checkpoint to the next")
    evaluate_steps: Count = key("Steps of the joint stage from one evaluation to the next")


class Base(Settings):
    """The base model."""

    source: Literal["huggingface", "shipped", "rebuild"]
    huggingface: Hub = key("A repository of the hub, where source is huggingface", None)
    rebuild: Rebuild


class Lora(Settings):
    """The adapter that is trained."""

    r: Count
    alpha: Count
    dropout: of.Dropped = 0.0


class Training(Settings):
    """What every training has."""

    steps: Count = key("The length; or epochs", None)
    epochs: of.AboveZero = key("The length; or steps", None)
    batch_size: Count = key("Rows, or completions, a process and forward pass")
    accumulation: Count = key("Forward passes an optimiser step")
    learning_rate: of.AboveZero
    scheduler: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    warmup: of.NotNegative = key("Steps, or a share of all steps if below 1", 0)
    max_grad_norm: of.AboveZero = 1.0
    save_steps: Count = key("Steps from one checkpoint to the next", 100)
    logging_steps: Count = 1
    gradient_checkpointing: Switch = key("Compute activations again, to save memory", False)


class SftTraining(Training):
    """A supervised training."""

    loss_mean: Literal["step", "forward_pass"] = key(
        "The loss is the mean over a step's answer tokens, or of its forward passes' means", "step"
    )
    pack_examples: Switch = key(
        "Make each example ready once, and pack a batch into one row without padding", True
    )


class GrpoTraining(Training):
    """A training by rewards."""

    generations: of.Several = key("Completions a prompt")
    max_new_tokens: Count
    share_prompts: Switch = key("Compute each prompt once for its completions", True)
    check_sharing: Switch = key(
        "Compare the first step's log-probabilities with the stock trainer's", False
    )
    temperature: of.AboveZero = key("Of the rollouts", 1.0)
    repetition_penalty: of.AboveZero = key(PENALTY, 1.0)
    beta: of.NotNegative = key("Weight of the KL term", 0.0)
    loss_type: Literal["grpo", "dr_grpo", "bnpo", "dapo"] = "grpo"
    scale_rewards: Literal["group", "batch", "none"] = Field(
        default_factory=lambda known: "none" if known.get("loss_type") == "dr_grpo" else "group",
        description="The spread that advantages are divided by: of their group (the default), of "
        "the step's batch, or none (the default for dr_grpo)",
    )
    suite: of.Suite = key("Where the rewards come from", "sound")
    rewards: dict[str, of.Number] = key(
        "Reward and its weight: of the suite, or your own by path/to/file.py:function", min_length=1
    )


class AnyExperiment(Settings):
    """What every experiment has: each is a column of the results table."""

    method: str
    protocol: str = key("One of protocols", "sound")
    variant: Literal["plain", "reasoning"] = key("reasoning asks for thinking", "plain")
    demonstrations: Switch = key("Whether solved examples precede the query", True)
    pixel_budget: OwnPixelBudget = key("What differs from the run's pixel_budget", None)
    inference: OwnInference = key("What differs from the run's inference", None)


class Baseline(AnyExperiment):
    """The base model, not trained."""

    method: Literal["baseline"]


class External(AnyExperiment):
    """A model that answered elsewhere."""

    method: Literal["external"]
    predictions: str = key("File of its answers, a line of JSON each", min_length=1)
    frame: of.AnswerFrame = key("Of its boxes; asked: as the conversations ask for them", "asked")


class Trained(AnyExperiment):
    """A model with an adapter."""

    seed: Seed = key("Its own, where it is not the run's", None)
    repeats: str = key("The experiment that it repeats with another seed", None)
    start_from: str = key("The experiment whose trained adapter it continues; else a new one", None)
    tasks: of.Names
    rows_per_task: Count = key("At most so many rows of each task")
    lora: Lora = key("With start_from the same r and alpha, or left out", None)
    training: Training


class Sft(Trained):
    """Supervised fine-tuning."""

    method: Literal["sft"]
    training: SftTraining


class Grpo(Trained):
    """Group relative policy optimisation."""

    method: Literal["grpo"]
    training: GrpoTraining


Experiment = Annotated[Baseline | External | Sft | Grpo, Field(discriminator="method")]


class Evaluation(Settings):
    """How answers are scored."""

    protocols: of.Scoring = key("The report leads with the first", ["sound", "thesis"])
    replicates: Count = key("Bootstrap samples", 10000)
    confidence: of.Fraction = key("Of the intervals", 0.95)


class Report(Settings):
    """What the report shows."""

    title: str = key("Its heading", "Few-shot, SFT and GRPO on assembly tasks", min_length=1)
    gallery: Seed = key("Examples of each task: best, worst, in dispute, random", 12)


class Ablation(Settings):
    """Which defects of the published protocol are switched, one at a time, and around what."""

    of: Names = key("Experiments without defects")
    defects: str | Annotated[list[str | Names], Field(min_length=1), *UNIQUE] = key(
        "all, or a list of names; an inner list is switched together, as one bundle", "all"
    )
    around: Annotated[list[Literal["sound", "thesis"]], Field(min_length=1), *UNIQUE] = key(
        "sound: each alone is switched on; thesis: each alone is switched off", ["sound", "thesis"]
    )
    seeds: Annotated[list[Seed], Field(min_length=1), *UNIQUE] = key("Of each training", [42])
    test_rows: Count | None = key("Of the common test set, drawn by the run's seed", None)
    settings: dict[str, dict[Literal["baseline", "sft", "grpo"], dict[str, object]]] = key(
        "Defect, method, and what the defect sets in an experiment, in place of what was published",
        {},
    )


class Config(Settings):
    """The configuration of a run."""

    run: str = key(
        "Name of the run; everything it makes lies under results/<run>/",
        pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$",
        max_length=100,
    )
    seed: Seed = key("Seed of every random choice", 42)
    seeds: Annotated[list[Seed], *UNIQUE] = key("Each training is repeated with each of them", [])
    device: of.Device = key("Where models are trained and run", "cuda")
    precision: of.Precision = "bfloat16"
    attention: of.Attention = "sdpa"
    processes: Count = key("Training processes of one experiment: GPUs, or CPU processes", 1)
    wall_minutes: of.AboveZero | None = key(
        "A training stops gracefully before so many minutes are over; null: never", None
    )
    threads: Count = key("CPU threads of a training or inference job", 1)
    dataset: Dataset
    prepare: Prepare = Field(default_factory=Prepare)
    protocols: dict[of.ProtocolName, Protocol] = Field(
        {"sound": {"defects": "none"}, "thesis": {"defects": "all"}},
        validate_default=True,
        description="How instances are split and become prompts; an experiment names one",
    )
    base: Base
    pixel_budget: PixelBudget
    max_tokens: Count | None = key(
        "A prompt with its answer that is longer is an error; null: the model's context", None
    )
    columns: of.Names | None = key("Experiments to run, in this order; null: all", None)
    experiments: dict[of.Name, Experiment] = Field(min_length=1)
    inference: Inference = Field(default_factory=Inference)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    report: Report = Field(default_factory=Report)
    ablation: Ablation | None = key("What each defect moves; null: nothing is asked", None)

    def inference_of(self, experiment: str) -> Inference:
        """Return how an experiment answers: its own settings over the run's."""
        return self.inference.but(self.experiments[experiment].inference)

    def line_of(self, experiment: str) -> list[Trained]:
        """Return a training and those that it starts from, the nearest first, each once."""
        line: list[Trained] = []
        block = self.experiments.get(experiment)
        while isinstance(block, Trained) and block not in line:
            line.append(block)
            block = self.experiments.get(block.start_from or "")
        return line

    def lora_of(self, experiment: str) -> Lora | None:
        """Return an experiment's LoRA settings: its own, else those of what it starts from."""
        return next((block.lora for block in self.line_of(experiment) if block.lora), None)

    def pixel_budget_of(self, experiment: str) -> PixelBudget:
        """Return an experiment's pixel budget: its own over the run's."""
        return self.pixel_budget.but(self.experiments[experiment].pixel_budget)

    def tested_at(self, experiment: str) -> PixelBudget:
        """Return the pixel budget of an experiment's inference: its training's, or its own."""
        return self.pixel_budget_of(experiment).but(self.inference_of(experiment).pixel_budget)
