"""The command ``legor1``: one sub-command a stage. The rules of the pipeline call nothing else."""

import argparse
import contextlib
import errno
import importlib
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from legor1.cli import stages
from legor1.core import records
from legor1.core.errors import Stopped, UserError
from legor1.core.records import Role
from legor1.evaluation.suites import SUITES
from legor1.published import defects

READ, WRITTEN = Role("input"), Role("output")
READ_TREE, WRITTEN_TREE = Role("input", ()), Role("output", ())
INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended
FULL = (errno.ENOSPC, errno.EDQUOT)
STOPPED = os.EX_TEMPFAIL  # 75: not done, but all is well; run it again


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return the exit status.

    0; 2 for what the user can put right; 75 for work that stopped in good order before its end.
    """
    options = vars(_parser().parse_args(argv))
    stage = STAGES[options.pop("stage")]
    try:
        with records.keeping(stage.name, options, stage.roles):
            stage.run(options)
        sys.stdout.flush()
    except UserError as error:
        print(f"legor1 {stage.name}: {error}", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(f"legor1 {stage.name}: {stop}", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        # The reader has gone; Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in FULL:
            raise
        print(f"legor1 {stage.name}: {_full(error, stage, options)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"legor1 {stage.name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


class Option:
    """An argument of a sub-command, as ``add_argument`` takes it; with a role if it names files."""

    def __init__(self, *names: str, role: Role | None = None, **settings: Any) -> None:
        self.names, self.role, self.settings = names, role, settings
        self.key = names[0].lstrip("-").replace("-", "_")


class Stage:
    """A sub-command: what it says of itself, the function behind it, and that one's arguments.

    The function is imported when it runs, so that ``--help`` and the light stages need not wait for
    torch. What it returns is said in one line.
    """

    def __init__(self, summary: str, example: str, function: str, *options: Option) -> None:
        """Declare a stage.

        Args:
            summary: one sentence.
            example: its command line; the first word is its name.
            function: ``module:name`` below the package.
            options: named as the function's arguments.
        """
        self.summary, self.example, self.function = summary, example, function
        self.name, self.options = example.split()[0], options
        self.roles = {option.key: option.role for option in options if option.role}

    def run(self, given: dict[str, Any]) -> None:
        """Call the function with what was given, and say what it returns."""
        module, name = self.function.split(":")
        returned = getattr(importlib.import_module(f"legor1.{module}"), name)(**given)
        if returned is not None:
            stages.say(self.name, returned)


def _full(error: OSError, stage: Stage, given: dict[str, Any]) -> str:
    """Say where a disk is full; a failed write to an open file does not know its name."""
    outputs = [given[name] for name, role in stage.roles.items() if role.kind == "output"]
    place = error.filename or next((path for path in outputs if path), "the output")
    return f"{place} cannot be written: {os.strerror(error.errno or 0)}. Remedy: free some space."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legor1",
        description="The stages of the LEGO-R1 study; `snakemake` runs them in order.",
        epilog="`legor1 STAGE --help` explains a stage and gives an example.",
    )
    group = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)
    for stage in STAGES.values():
        added = group.add_parser(
            stage.name,
            help=stage.summary,
            description=stage.summary,
            epilog=f"example:\n  legor1 {stage.example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        for option in stage.options:
            added.add_argument(*option.names, **option.settings)
    return parser


def _path(name: str, meaning: str, role: Role | None = READ, **settings: Any) -> Option:
    """Return an argument that is a path, required unless ``settings`` say otherwise."""
    if name.startswith("--"):
        settings = {"required": True} | settings
    return Option(name, role=role, type=Path, help=meaning, **settings)


def _out(meaning: str, *files: str, **settings: Any) -> Option:
    """Return ``--out``; of a folder the stage writes the ``files`` (glob patterns), or all."""
    role = Role("output", files) if files else WRITTEN
    return _path("--out", meaning, role, **settings)


def _json(text: str) -> dict[str, Any]:
    try:
        return json.loads(text if text.lstrip().startswith("{") else Path(text).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"neither JSON text nor a JSON file: {error}") from error


def _shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with 0 <= I < N")
    return int(index), int(count)


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")


def _named_path(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not (name and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not EXPERIMENT=scores.json")
    return name, Path(path)


def _maybe_named_path(text: str) -> tuple[str, Path]:
    return _named_path(text) if "=" in text else (text, Path(text))


def _switch(text: str) -> tuple[str, bool]:
    name, _, state = text.partition("=")
    if not name or state not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=on or NAME=off")
    return name, state == "on"


def _named(name: str, form: str, role: Role, nargs: str) -> Option:
    return Option(name, role=role, metavar=form, type=_named_path, nargs=nargs)


INTO = "the folder to write into"
BASELINES = ("always_yes", "copy_demonstration", "mean_box", "previous_instruction")
CONVERSATIONS = ("plain/*.jsonl", "reasoning/*.jsonl")
CONVERTED = "the folder of {plain,reasoning}/{train,test}.jsonl"
# What the report reads of a run's folder.
RESULTS = (
    "*.json", "*.csv", "data/*.json*", "data/*/split.json", "data/*/audit.json",
    "data/*/plain/test.jsonl", "data/*/reasoning/test.jsonl", "base/model.json",
    "adapters/*/run.json", "adapters/*/history.jsonl", "predictions/*.jsonl", "scores/*/*/*",
    "logs/config.json", "work/*/progress.json", "work/*/history.jsonl",
)  # fmt: skip
OUT = _out("the file to write")
SOURCE = _path("tree", "the dataset tree", READ_TREE)
INSTANCES = _path("instances", "instances.parquet")
RUN = _path("run", "the run's folder", None, metavar="RUN_DIR")
TREE = _path("--tree", "the dataset tree", READ_TREE)
BASE = _path("--base", "model.json of the base model")
SEED = Option("--seed", type=int, required=True)
WORKERS = Option("--workers", type=int, default=1, help="processes to work with")
SPLIT = _path("split", "split.json")
TRAIN = _path("--conversations", "train.jsonl")
BOOTSTRAP = (
    Option("--replicates", type=int, default=10000, help="bootstrap samples"),
    Option("--confidence", type=float, default=0.95),
    Option("--seed", type=int, default=42),
)
DEFECTS = (
    Option("--protocol", choices=tuple(defects.PROTOCOLS), default="sound"),
    Option(
        "--switch",
        metavar="NAME=on|off",
        type=_switch,
        action="append",
        default=[],
        help=f"one of the protocol's defects: {', '.join(defects.SWITCHES)}",
    ),
)
RECIPE = Option("--recipe", metavar="JSON", type=_json, required=True, help="text or file")
CONFIG = (
    Option("overlays", metavar="OVERLAY", nargs="*", help="YAML file or JSON text"),
    Option("--base-config", default="config.yaml", help="what overlays go onto, the same two ways"),
)


STAGES: dict[str, Stage] = {}


def _stage(*declared: Any) -> None:
    stage = Stage(*declared)
    STAGES[stage.name] = stage


_stage(
    "Draw brick manuals in LEGO-ARTA's layout.",
    "synthesize tree --manuals 8 --steps 4 --objects 6 --seed 7 --image-size 480x360,360x480",
    "cli.stages:synthesize",
    _path("tree", "the folder to draw into", WRITTEN_TREE, metavar="DIR"),
    Option("--manuals", type=int, required=True),
    Option("--steps", type=int, required=True, help="building steps a manual"),
    Option("--objects", type=int, required=True, help="part call-outs a manual"),
    SEED,
    Option("--image-size", metavar="WxH,…", help="sizes of the images in pixels"),
    Option("--look", choices=("manual", "sketch"), default="manual"),
    WORKERS,
)
_stage(
    "Download a dataset or a model, or take one that is there, and say where it lies.",
    "fetch model --repo Qwen/Qwen2.5-VL-7B-Instruct --folder qwen --out base/model.json",
    "cli.stages:fetch",
    Option("kind", choices=("dataset", "model")),
    _path("--folder", "where it lies, or is downloaded to", None),
    Option("--repo", metavar="OWNER/NAME", help="download this; else take what is there"),
    Option("--revision", default="main", help="commit, tag or branch"),
    _path("--out", "dataset: a link to the folder; model: model.json", WRITTEN_TREE),
)
_stage(
    "List a tree's files with their sizes and SHA-256.",
    "manifest tree --out manifest.json",
    "data.manifest:write_manifest",
    SOURCE,
    OUT,
)
_stage(
    "Read a dataset tree into one row an instance.",
    "index tree --out instances.parquet --quarantine quarantine.jsonl",
    "data.lego_arta.index:write_index",
    SOURCE,
    OUT,
    _path("--quarantine", "the file that says what could not be used, and why", WRITTEN),
)
_stage(
    "Take fingerprints of all images, to know the same picture in two manuals.",
    "fingerprint instances.parquet --tree tree --workers 2 --out images.parquet",
    "data.fingerprints:write_images",
    INSTANCES,
    TREE,
    WORKERS,
    OUT,
)
_stage(
    "Divide the instances into training and test.",
    "split instances.parquet --images images.parquet --seed 42 --out split.json",
    "cli.stages:split",
    INSTANCES,
    Option("--protocol", choices=(*defects.PROTOCOLS, "authors"), default="sound"),
    DEFECTS[1],
    _path("--images", "images.parquet: which manuals share pictures", required=False),
    _path("--tree", "the same, slower; the authors' split", READ_TREE, required=False),
    SEED,
    Option("--test-fraction", type=float, default=0.25),
    OUT,
)
_stage(
    "Write what the model is asked: prompts with their demonstrations, in both variants.",
    "convert instances.parquet split.json --protocol sound --seed 42 --out conversations",
    "cli.stages:convert",
    INSTANCES,
    SPLIT,
    *DEFECTS,
    Option("--object-format", choices=defects.OBJECT_FORMATS, default="json"),
    SEED,
    _out(CONVERTED, *CONVERSATIONS),
)
_stage(
    "Measure which defects of data preparation are in the conversations.",
    "audit instances.parquet split.json sound --tree tree --out audit.json",
    "data.audit.audit:write_audit",
    INSTANCES,
    SPLIT,
    _path("conversations", CONVERTED, Role("input", CONVERSATIONS)),
    _path("--tree", "the dataset tree, to see the files' bytes", READ_TREE, required=False),
    _path("--images", "images.parquet, to see which images are alike", required=False),
    OUT,
)
_stage(
    "Write conversations and their images in the format of another program.",
    "export train.jsonl test.jsonl --tree tree --format llamafactory --out export",
    "cli.stages:export",
    _path("conversations", "train.jsonl, test.jsonl", metavar="CONVERSATIONS", nargs="+"),
    TREE,
    Option("--format", choices=("llamafactory", "huggingface", "coco"), required=True),
    Option(
        "--max-pixels",
        type=int,
        help="llamafactory: resize images as the model does, and boxes with them; train "
        "with image_max_pixels no less. Without it images and boxes are the original ones, "
        "and those of larger images are off once LLaMA-Factory shrinks them",
    ),
    Option("--min-pixels", type=int, default=3136, help="images below it are enlarged"),
    _out("the folder to write; an earlier export there is replaced"),
)
_stage(
    "Make and train the tiny base model.",
    "build-base --conversations train.jsonl --tree tree --recipe recipe.json --out tiny",
    "cli.stages:build_base",
    TRAIN,
    TREE,
    RECIPE,
    _out(INTO),
)
_stage(
    "Train an experiment's adapter, going on from the last checkpoint if there is one.",
    "train --recipe sft.json --conversations train.jsonl --tree tree --base model.json "
    "--work work --out adapters/sft",
    "cli.stages:train",
    TRAIN,
    TREE,
    BASE,
    RECIPE,
    _path("--work", "the folder of checkpoints", None),
    _out(INTO),
    _path("--manifest", "the tree's manifest.json, for the adapter's card", required=False),
    Option("--minutes", type=float, help="stop gracefully before they are over; 0: never"),
    Option("--attempt", type=int, default=1, help="of a scheduler that tries again itself"),
    _path("--log", "where the attempt before said why it ended", None, required=False),
)
_stage(
    "Answer the test conversations, or one shard of them.",
    "predict --recipe predict.json --conversations test.jsonl --tree tree "
    "--base model.json --adapter adapters/sft/adapter --out predictions.jsonl",
    "cli.stages:predict",
    _path("--conversations", "test.jsonl"),
    TREE,
    BASE,
    RECIPE,
    _path("--adapter", "the adapter's folder; none for the base model", required=False),
    Option("--shard", metavar="I/N", type=_shard, default=(0, 1), help="I from 0 on"),
    OUT,
)
_stage(
    "Put the shards of an experiment's predictions together.",
    "gather shards/0.jsonl shards/1.jsonl --out predictions.jsonl",
    "cli.stages:gather",
    _path("shards", "predictions of one shard", metavar="SHARD", nargs="+"),
    OUT,
)
_stage(
    "Answer the test conversations without a model: what any model must beat.",
    "baselines --train train.jsonl --test test.jsonl --out predictions",
    "tasks.baselines:write_baselines",
    _path("--train", "the conversations that may be looked at"),
    _path("--test", "the conversations that are answered"),
    _out(INTO, *(f"{name}.jsonl" for name in BASELINES)),
)
_stage(
    "Score predictions under one protocol; sound has bootstrap intervals, thesis its quirks.",
    "score predictions.jsonl --protocol sound --out scores",
    "cli.stages:score",
    _path("predictions", "predictions.jsonl"),
    Option("--protocol", choices=("sound", "thesis"), default="sound"),
    *BOOTSTRAP,
    _out(INTO, "scores.json", "per_example.parquet"),
)
_stage(
    "Test whether experiments differ, pair by pair, on the instances that both answered.",
    "compare few_shot=scores/few_shot/sound sft=scores/sft/sound --out comparison.json",
    "cli.stages:compare",
    Option(
        "scores",
        role=READ,
        metavar="[EXPERIMENT=]DIR",
        type=_maybe_named_path,
        nargs="+",
        help="a folder of `legor1 score`; the first is compared with; the same EXPERIMENT "
        "again is another training seed of it",
    ),
    *BOOTSTRAP,
    OUT,
)
_stage(
    "Add the rewards of a suite to rollouts.",
    "reward rollouts.jsonl --suite sound --out rewards.jsonl",
    "cli.stages:reward",
    _path("rollouts", "lines with completion, solution and, if known, task"),
    Option("--suite", choices=tuple(SUITES), default="sound"),
    Option(
        "--own",
        action="append",
        metavar="FILE:FUNCTION",
        help="a reward of your own besides, as path/to/file.py:function or module:function",
    ),
    OUT,
)
_stage(
    "Put the experiments' scores, under one protocol or several, into one table.",
    "table sft=sft/sound/scores.json sft=sft/thesis/scores.json --out table.csv",
    "evaluation.table:write_table",
    _named("scores", "EXPERIMENT=scores.json", READ, nargs="+"),
    OUT,
)
_stage(
    "Show how a running study stands, by its files alone, until it is done or Ctrl-C.",
    "watch results/demo",
    "monitor.screen:watch",
    RUN,
    Option("--once", action="store_true", help="say how it stands now, and end"),
    Option("--every", metavar="SECONDS", type=_seconds, default=3, help="how often to look"),
)
_stage(
    "Render the report of a run, finished or not: one HTML file, its gallery, its tables.",
    "report results/demo --out results/demo/report.html --gallery results/demo/gallery.html",
    "cli.stages:report",
    _path("run_dir", "the run's folder", Role("input", RESULTS), metavar="RUN_DIR"),
    OUT,
    _path(
        "--tables",
        "the folder of results.{csv,json,md,tex}, the results table for other documents",
        Role("output", ("results.*",)),
        required=False,
    ),
    _path(
        "--gallery",
        "the page of all chosen examples; beside it a folder of their images",
        WRITTEN,
        required=False,
    ),
)
_stage(
    "Pack a finished run as an RO-Crate: its results, their records, and how they came about.",
    "crate results/demo --out demo.crate.zip",
    "publishing.crate:write_crate",
    RUN,
    Option("--licence", metavar="URL", help="of what is in the run"),
    _path("--out", "the folder or .zip file to write", None),
)
_stage(
    "Draw the reward curves of trainings side by side, as in the thesis's Figure 1.",
    "figure1 one=adapters/one two=adapters/two --out figure1.html",
    "cli.stages:figure1",
    _named("trainings", "EXPERIMENT=DIR", Role("input", ("history.jsonl",)), nargs="*"),
    OUT,
)
_stage(
    "Print the resolved config, or write it.",
    "config workflow/configs/demo.yaml",
    "cli.stages:config",
    *CONFIG,
    _out("write it here as JSON", required=False),
)
_stage(
    "Say what is missing to run a config on this machine.",
    "check workflow/configs/demo.yaml",
    "cli.stages:check",
    *CONFIG,
)
_stage(
    "Say what a run will need of a GPU: tokens, memory by part, hours; or that it does not fit.",
    "plan workflow/configs/demo.yaml --gpu A100-40 --out plan.json",
    "cli.stages:plan",
    *CONFIG,
    Option("--gpu", choices=("A100-80", "A100-40", "A40", "H100", "L4"), help="of all stages"),
    _path("--base", "model.json of the base model, if it is here", required=False),
    Option(
        "--conversations",
        metavar="DIR",
        help="of train.jsonl and test.jsonl, to count; {protocol}: an experiment's",
    ),
    _out("write it here as JSON", required=False),
)
_stage(
    "Have DVC keep a finished run, and push it to the remote.",
    "publish results/demo",
    "publishing.publish:publish",
    RUN,
)
_stage(
    "Bring a published run back from the remote and check every file of it.",
    "restore results/demo",
    "publishing.publish:restore",
    RUN,
)
_stage(
    "Put the published adapter of an experiment where its training would.",
    "pull results/demo/adapters/sft --recipe sft.json",
    "cli.stages:pull",
    _path("adapter", "the experiment's folder, RUN_DIR/adapters/NAME", WRITTEN),
    RECIPE,
)

if __name__ == "__main__":
    sys.exit(main())
