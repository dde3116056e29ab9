"""What the commands take, each parameter named as the argument of a command's function."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import rich_click as click

from legor1.core.errors import UserError
from legor1.core.records import Role
from legor1.planning.machines import GPUS
from legor1.published import defects

READ, WRITTEN = Role("input"), Role("output")
READ_TREE, WRITTEN_TREE = Role("input", ()), Role("output", ())
CONVERSATIONS = ("plain/*.jsonl", "reasoning/*.jsonl")


class Named(NamedTuple):
    """A path under the name of its experiment."""

    name: str
    path: Path


class Artefact(click.Path):
    """A path and what the command does with it: ``role``, None for what gets no record.

    A ``form`` such as EXPERIMENT=DIR puts a name before it, which may be left out in brackets.
    """

    def __init__(self, role: Role | None, form: str = "") -> None:
        super().__init__(path_type=Path)
        self.role, self.form = role, form

    def convert(  # type: ignore[override]  # a Named is no path, and no default is given
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | Named:
        """Return the path, or the named path."""
        name, equals, path = value.partition("=")
        if not self.form:
            return Path(value)
        if self.form.startswith("[") and not equals:
            return Named(value, Path(value))
        return Named(name, Path(path)) if name and path else _refuse(value, self.form.strip("[]"))


def _refuse(text: str, wanted: str) -> NoReturn:
    raise click.BadParameter(f"{text!r} is not {wanted}")


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        _refuse(text, "I/N with 0 <= I < N")
    return int(index), int(count)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    return number if 0 < number < math.inf else _refuse(text, "a number of seconds above 0")


def _switch(text: str) -> tuple[str, bool]:
    name, _, state = text.partition("=")
    if not name or state not in ("on", "off"):
        _refuse(text, "NAME=on or NAME=off")
    return name, state == "on"


def option(name: str, help: str | None = None, **settings: Any) -> click.Parameter:
    """Return an option, which must be given unless it has a default."""
    return click.RichOption([name], help=help, **{"required": "default" not in settings} | settings)


def number(name: str, help: str | None = None, **settings: object) -> click.Parameter:
    """Return an option that is a whole number."""
    return option(name, help, type=int, **settings)


def path(name: str, help: str, role: Role | None = READ, **settings: object) -> click.Parameter:
    """Return an option that is a path."""
    return option(name, help, type=Artefact(role), **settings)


def out(help: str, *files: str, role: Role | None = WRITTEN, **settings: object) -> click.Parameter:
    """Return ``--out``; of a folder the command writes the ``files`` (glob patterns), or all."""
    return path("--out", help, Role("output", files) if files else role, **settings)


def choice(
    name: str, *choices: str, help: str | None = None, **settings: object
) -> click.Parameter:
    """Return an option that is one of several words."""
    return option(name, help, type=click.Choice(choices), **settings)


def argument(
    name: str, help: str = "", role: Role | None = READ, form: str = "", **settings: Any
) -> click.Parameter:
    """Return a positional path; with ``nargs=-1`` any number of them."""
    settings = {"type": Artefact(role, form), "metavar": form or None} | settings
    return click.RichArgument([name], help=help, **settings)


BETWEEN_0_AND_1 = click.FloatRange(0, 1, min_open=True, max_open=True)
MAYBE: dict[str, None] = {"default": None}
SOUND: dict[str, str] = {"default": "sound"}
MANY: dict[str, Any] = {"nargs": -1, "required": True}
REPEATED: dict[str, Any] = {"multiple": True, "required": False}
INTO = "the folder to write into"
CONVERTED = "the folder of {plain,reasoning}/{train,test}.jsonl"

ADAPTER = path("--adapter", "the adapter's folder; none for the base model", **MAYBE)
ATTEMPT = number("--attempt", "of a scheduler that tries again itself", default=1)
BASE = path("--base", "model.json of the base model")
BASE_CONFIG = option("--base-config", "what overlays go onto, likewise", default="config.yaml")
BOOTSTRAP = (
    option("--replicates", "bootstrap samples", type=click.IntRange(1), default=10000),
    option("--confidence", type=BETWEEN_0_AND_1, default=0.95),
    number("--seed", default=42),
)
FOLDER = path("--folder", "where it lies, or is downloaded to", None)
FORMAT = choice("--format", "llamafactory", "trl", "ms-swift", "vlm-r1", "huggingface", "coco")
GALLERY = path("--gallery", "the page of examples, beside a folder of images", WRITTEN, **MAYBE)
GPU = choice("--gpu", *GPUS, help="of all stages", **MAYBE)
IMAGES = path("--images", "images.parquet: which images are alike", **MAYBE)
IMAGE_SIZE = option("--image-size", "sizes of the images in pixels", metavar="WxH,…", **MAYBE)
INSTANCES = argument("instances", "instances.parquet")
KIND = argument("kind", "what it is", type=click.Choice(["dataset", "model"]))
LICENCE = option("--licence", "of what is in the run", metavar="URL", **MAYBE)
LOG = path("--log", "where the attempt before said why it ended", None, **MAYBE)
MANIFEST = path("--manifest", "the tree's manifest.json, for the adapter's card", **MAYBE)
MANUALS = number("--manuals")
MAX_PIXELS = number(
    "--max-pixels",
    "llamafactory, trl, vlm-r1: resize images as the model does, and boxes with them; train with "
    "a limit no less. Without it images and boxes are the original ones, and those of larger "
    "images are off once the trainer shrinks them",
    **MAYBE,
)
MINUTES = option(
    "--minutes", "stop gracefully before they are over; 0: no limit", type=float, **MAYBE
)
MIN_PIXELS = number("--min-pixels", "images below it are enlarged", default=3136)
OBJECTS = number("--objects", "part call-outs a manual")
OBJECT_FORMAT = choice("--object-format", *defects.OBJECT_FORMATS, default="json")
ONCE = option("--once", "say how it stands now, and end", is_flag=True, default=False)
OUT, OUT_FOLDER = out("the file to write"), out(INTO)
OUT_JSON = out("write it here as JSON", **MAYBE)
OVERLAYS = argument("overlays", "YAML files or JSON text", type=str, nargs=-1)
QUARANTINE = path("--quarantine", "the file of what could not be used, and why", WRITTEN)
REPO = option("--repo", "download this; else take what is there", metavar="OWNER/NAME", **MAYBE)
REVISION = option("--revision", "commit, tag or branch", default="main")
RUN = argument("run", "the run's folder", None, metavar="RUN_DIR")
SECONDS = option("--every", "how often to look", metavar="SECONDS", type=_seconds, default="3")
SEED = number("--seed")
SHARD = option("--shard", "I from 0 on", metavar="I/N", type=_shard, default="0/1")
SOURCE = argument("tree", "the dataset tree", READ_TREE)
SPLIT = argument("split", "split.json")
SEEN_TREE = path("--tree", "the dataset tree, to compare its files", READ_TREE, **MAYBE)
START_FROM = path("--start-from", "the adapter's folder that the training continues", **MAYBE)
STEPS = number("--steps", "building steps a manual")
OWN = option(
    "--own",
    "a reward of your own besides, as path/to/file.py:function",
    metavar="FILE:FUNCTION",
    **REPEATED,
)
SWITCH = option(
    "--switch",
    f"one of the protocol's defects: {', '.join(defects.SWITCHES)}",
    metavar="NAME=on|off",
    type=_switch,
    **REPEATED,
)
DEFECTS = (choice("--protocol", *defects.PROTOCOLS, **SOUND), SWITCH)
TABLES = path("--tables", "a folder, for other documents", Role("output", ("results.*",)), **MAYBE)
TEST_FRACTION = option("--test-fraction", type=BETWEEN_0_AND_1, default=0.25)
TRAIN = path("--conversations", "train.jsonl")
TREE = path("--tree", "the dataset tree", READ_TREE)
WAIT = option("--wait", "for a folder that does not exist yet", is_flag=True, default=False)
WORK = path("--work", "the folder of checkpoints", None)
WORKERS = option("--workers", "processes to work with", type=click.IntRange(1), default=1)


def recipe(job: str, **more: Any) -> click.Parameter:
    """Return ``--recipe`` of a job: see ``legor1.config.job_params.checked``."""

    def read(value: str) -> dict[str, object]:
        return read_recipe(job, value)

    return option("--recipe", "text or file", metavar="JSON", type=read, **more)


def read_recipe(job: str, value: str) -> dict[str, object]:
    """Return a job's recipe, given as JSON text or as a file of it, checked."""
    from legor1.config.job_params import checked

    try:
        text = value if value.lstrip().startswith("{") else Path(value).read_text("utf-8")
        return checked(json.loads(text), job)
    except (OSError, ValueError, RecursionError) as error:
        raise click.BadParameter(f"neither JSON text nor a JSON file: {error}") from error
    except UserError as error:
        raise click.BadParameter(str(error)) from error
