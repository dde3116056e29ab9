"""The command ``legor1``: one sub-command a stage. The rules of the pipeline call nothing else."""

import argparse
import contextlib
import errno
import inspect
import json
import math
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from legor1 import protocols, records, stages
from legor1.errors import Stopped, UserError
from legor1.records import Role
from legor1.rewards import SUITES

READ, WRITTEN = Role("input"), Role("output")
READ_TREE, WRITTEN_TREE = Role("input", ()), Role("output", ())
INTERRUPTED = 130  # what a shell reports for a program that Ctrl-C ended
FULL = (errno.ENOSPC, errno.EDQUOT)
STOPPED = os.EX_TEMPFAIL  # 75: not done, but all is well; run it again


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sub-command and return the exit status.

    0; 2 for what the user can put right; 75 for work that stopped in good order before its end.
    """
    given = _parser().parse_args(argv)
    try:
        options = {k: v for k, v in vars(given).items() if k not in ("run", "stage", "roles")}
        with records.keeping(given.stage, options, given.roles):
            given.run(given)
        sys.stdout.flush()
    except UserError as error:
        print(f"legor1 {given.stage}: {error}", file=sys.stderr)
        return 2
    except Stopped as stop:
        print(f"legor1 {given.stage}: {stop}", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        # The reader has gone; Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno not in FULL:
            raise
        print(f"legor1 {given.stage}: {_full(error, given)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"legor1 {given.stage}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def _full(error: OSError, given: argparse.Namespace) -> str:
    """Say where a disk is full; a failed write to an open file does not know its name."""
    outputs = [getattr(given, name) for name, role in given.roles.items() if role.kind == "output"]
    place = error.filename or next((path for path in outputs if path), "the output")
    return f"{place} cannot be written: {os.strerror(error.errno or 0)}. Remedy: free some space."


class Option:
    """An argument of a sub-command, as ``add_argument`` takes it; with a role if it names files."""

    def __init__(self, *names: str, role: Role | None = None, **settings: Any) -> None:
        self.names, self.role, self.settings = names, role, settings


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


INTO = "the folder to write into"
BASELINES = (
    "always_yes.jsonl",
    "copy_demonstration.jsonl",
    "mean_box.jsonl",
    "previous_instruction.jsonl",
)
CONVERSATIONS = ("plain/*.jsonl", "reasoning/*.jsonl")
# What the report reads of a run's folder.
RESULTS = (
    "*.json",
    "*.csv",
    "data/*.json*",
    "data/*/split.json",
    "data/*/audit.json",
    "data/*/plain/test.jsonl",
    "data/*/reasoning/test.jsonl",
    "base/model.json",
    "adapters/*/run.json",
    "adapters/*/history.jsonl",
    "predictions/*.jsonl",
    "scores/*/*/*",
    "logs/config.json",
    "work/*/progress.json",
    "work/*/history.jsonl",
)
OUT = _out("the file to write")
SOURCE = _path("tree", "the dataset tree", READ_TREE)
INSTANCES = _path("instances", "instances.parquet")
RUN_DIR = _path("run_dir", "the run's folder", None, metavar="RUN_DIR")
TREE = _path("--tree", "the dataset tree", READ_TREE)
BASE = _path("--base", "model.json of the base model")
SEED = Option("--seed", type=int, required=True)
PROTOCOL = Option("--protocol", choices=("sound",), default="sound")
SCORING = Option("--protocol", choices=("sound", "thesis"), default="sound")
BOOTSTRAP = (
    Option("--replicates", type=int, default=10000, help="bootstrap samples"),
    Option("--confidence", type=float, default=0.95),
    Option("--seed", type=int, default=42),
)
DEFECTS = (
    Option("--protocol", choices=tuple(protocols.PROTOCOLS), default="sound"),
    Option(
        "--switch",
        metavar="NAME=on|off",
        type=_switch,
        action="append",
        default=[],
        help=f"one of the protocol's defects: {', '.join(protocols.SWITCHES)}",
    ),
)
RECIPE = Option("--recipe", metavar="JSON", type=_json, required=True, help="text or file")
CONFIG = (
    Option("overlays", metavar="OVERLAY", nargs="*", help="YAML file or JSON text"),
    Option("--base-config", default="config.yaml", help="what overlays go onto, the same two ways"),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legor1",
        description="The stages of the LEGO-R1 study; `snakemake` runs them in order.",
        epilog="`legor1 STAGE --help` explains a stage and gives an example.",
    )
    group = parser.add_subparsers(dest="stage", metavar="STAGE", required=True)

    def stage(run: Callable[[argparse.Namespace], None], *options: Option) -> None:
        summary, _, example = (inspect.getdoc(run) or "").partition("\n\n")
        one = group.add_parser(
            run.__name__.replace("_", "-"),
            help=summary,
            description=summary,
            epilog=f"example:\n{textwrap.indent(example, '  ')}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        roles = {}
        for option in options:
            argument = one.add_argument(*option.names, **option.settings)
            if option.role:
                roles[argument.dest] = option.role
        one.set_defaults(run=run, roles=roles)

    _declare_data(stage)
    _declare_conversations(stage)
    _declare_models(stage)
    _declare_scores(stage)
    _declare_report(stage)
    _declare_planning(stage)
    _declare_publishing(stage)
    return parser


def _declare_data(stage: Callable[..., None]) -> None:
    stage(
        stages.synthesize,
        _path("tree", "the folder to draw into", WRITTEN_TREE, metavar="DIR"),
        Option("--manuals", type=int, required=True),
        Option("--steps", type=int, required=True, help="building steps a manual"),
        Option("--objects", type=int, required=True, help="part call-outs a manual"),
        SEED,
        Option("--image-size", metavar="WxH,…", help="sizes of the images in pixels"),
        Option("--look", choices=("manual", "sketch"), default="manual"),
        Option("--workers", type=int, default=1, help="processes to draw with"),
    )
    stage(
        stages.fetch,
        Option("kind", choices=("dataset", "model")),
        _path("--folder", "where it lies, or is downloaded to", None),
        Option("--repo", metavar="OWNER/NAME", help="download this; else take what is there"),
        Option("--revision", default="main", help="commit, tag or branch"),
        _path("--out", "dataset: a link to the folder; model: model.json", WRITTEN_TREE),
    )
    stage(stages.manifest, SOURCE, OUT)
    stage(
        stages.index,
        SOURCE,
        OUT,
        _path("--quarantine", "the file that says what could not be used, and why", WRITTEN),
    )

    stage(
        stages.fingerprint,
        INSTANCES,
        TREE,
        Option("--workers", type=int, default=1, help="processes to decode with"),
        OUT,
    )


def _declare_conversations(stage: Callable[..., None]) -> None:
    stage(
        stages.split,
        INSTANCES,
        Option("--protocol", choices=(*protocols.PROTOCOLS, "authors"), default="sound"),
        DEFECTS[1],
        _path("--images", "images.parquet, to see which manuals share pictures", required=False),
        _path(
            "--tree",
            "the dataset tree: the same, slower; the authors' split",
            READ_TREE,
            required=False,
        ),
        SEED,
        Option("--test-fraction", type=float, default=0.25),
        OUT,
    )
    stage(
        stages.convert,
        INSTANCES,
        _path("split", "split.json"),
        *DEFECTS,
        Option("--object-format", choices=protocols.OBJECT_FORMATS, default="json"),
        SEED,
        _out("the folder of {plain,reasoning}/{train,test}.jsonl", *CONVERSATIONS),
    )
    stage(
        stages.audit,
        INSTANCES,
        _path("split", "split.json"),
        _path(
            "conversations",
            "the folder of {plain,reasoning}/{train,test}.jsonl",
            Role("input", CONVERSATIONS),
        ),
        _path("--tree", "the dataset tree, to see the files' bytes", READ_TREE, required=False),
        _path("--images", "images.parquet, to see which images are alike", required=False),
        OUT,
    )
    stage(
        stages.export,
        _path("conversations", "train.jsonl, test.jsonl", metavar="CONVERSATIONS", nargs="+"),
        TREE,
        Option("--format", choices=("llamafactory", "huggingface", "coco"), required=True),
        Option(
            "--max-pixels",
            type=int,
            help="llamafactory: resize images as the model does, and boxes with them; train with "
            "image_max_pixels no less. Without it images and boxes are the original ones, and "
            "those of larger images are off once LLaMA-Factory shrinks them",
        ),
        Option("--min-pixels", type=int, default=3136, help="images below it are enlarged"),
        _out("the folder to write; an earlier export there is replaced"),
    )


def _declare_models(stage: Callable[..., None]) -> None:
    stage(
        stages.build_base,
        _path("--conversations", "train.jsonl"),
        TREE,
        RECIPE,
        _out(INTO),
    )
    stage(
        stages.train,
        _path("--conversations", "train.jsonl"),
        TREE,
        BASE,
        RECIPE,
        _path("--work", "the folder of checkpoints", None),
        _out(INTO),
        _path("--manifest", "the tree's manifest.json, for the adapter's card", required=False),
        Option("--minutes", type=float, help="stop in good order before they are over; 0: never"),
        Option("--attempt", type=int, default=1, help="of a scheduler that tries again by itself"),
        _path("--log", "where the attempt before said why it ended", None, required=False),
    )
    stage(
        stages.predict,
        _path("--conversations", "test.jsonl"),
        TREE,
        BASE,
        RECIPE,
        _path("--adapter", "the adapter's folder; none for the base model", required=False),
        Option("--shard", metavar="I/N", type=_shard, default=(0, 1), help="I from 0 on"),
        OUT,
    )
    stage(
        stages.gather,
        _path("shards", "predictions of one shard", metavar="SHARD", nargs="+"),
        OUT,
    )


def _declare_scores(stage: Callable[..., None]) -> None:
    stage(
        stages.baselines,
        _path("--train", "the conversations that may be looked at"),
        _path("--test", "the conversations that are answered"),
        _out(INTO, *BASELINES),
    )
    stage(
        stages.score,
        _path("predictions", "predictions.jsonl"),
        SCORING,
        *BOOTSTRAP,
        _out(INTO, "scores.json", "per_example.parquet"),
    )
    stage(
        stages.compare,
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
    stage(
        stages.reward,
        _path("rollouts", "lines with completion, solution and, if known, task"),
        Option("--suite", choices=tuple(SUITES), default="sound"),
        OUT,
    )
    stage(
        stages.table,
        Option("scores", role=READ, metavar="EXPERIMENT=scores.json", type=_named_path, nargs="+"),
        OUT,
    )


def _declare_report(stage: Callable[..., None]) -> None:
    stage(
        stages.watch,
        RUN_DIR,
        Option("--once", action="store_true", help="say how it stands now, and end"),
        Option("--every", metavar="SECONDS", type=_seconds, default=3, help="look again so often"),
    )
    stage(
        stages.report,
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
    stage(
        stages.crate,
        RUN_DIR,
        Option("--licence", metavar="URL", help="of what is in the run"),
        # Without a role: the crate is no result, but the records of them all.
        _path("--out", "the folder or .zip file to write", None),
    )
    stage(
        stages.figure1,
        Option(
            "trainings",
            role=Role("input", ("history.jsonl",)),
            metavar="EXPERIMENT=DIR",
            type=_named_path,
            nargs="*",
        ),
        OUT,
    )


def _declare_planning(stage: Callable[..., None]) -> None:
    stage(
        stages.config,
        *CONFIG,
        _out("write it here as JSON", required=False),
    )
    stage(stages.check, *CONFIG)
    stage(
        stages.plan,
        *CONFIG,
        Option("--gpu", choices=("A100-80", "A100-40", "A40", "H100", "L4"), help="for all stages"),
        _path("--base", "model.json of the base model, if it is here", required=False),
        Option(
            "--conversations",
            metavar="DIR",
            help="of train.jsonl and test.jsonl, to count; {protocol} stands for an experiment's",
        ),
        _out("write it here as JSON", required=False),
    )


def _declare_publishing(stage: Callable[..., None]) -> None:
    stage(stages.publish, RUN_DIR)
    stage(stages.restore, RUN_DIR)
    adapter = _path("adapter", "the experiment's folder, RUN_DIR/adapters/NAME", WRITTEN)
    stage(stages.pull, adapter, RECIPE)


if __name__ == "__main__":
    sys.exit(main())
