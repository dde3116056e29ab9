"""What the sub-commands of ``legor1`` do that is more than to call one function.

A stage's modules are imported when it runs, so that ``--help`` and the light stages need not wait
for torch. What a stage returns, the command line says.
"""

import json
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Facts = dict[str, Any]
Switches = Sequence[tuple[str, bool]]


def say(what: str, facts: Facts) -> None:
    """Print facts on one line."""
    shown = {k: f"{v:.3f}" if isinstance(v, float) else v for k, v in facts.items()}
    print(f"{what}: " + ", ".join(f"{name} {value}" for name, value in shown.items()))


def _silence_libraries() -> None:
    """Keep libraries from talking between the stages' own lines of progress."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.simplefilter("ignore")


def synthesize(tree: Path, image_size: str | None, **given: Any) -> None:
    """Draw images of the sizes that are named, or of the usual ones."""
    from legor1.data.synthetic.dataset import IMAGE_SIZES, parse_sizes, synthesize

    synthesize(tree, image_sizes=parse_sizes(image_size) if image_size else IMAGE_SIZES, **given)


def fetch(kind: str, folder: Path, repo: str | None, revision: str, out: Path) -> None:
    """Download where a repository is named; then note where the dataset or model lies."""
    from legor1.data import sources
    from legor1.data.download import fetch

    record = fetch(kind, repo, revision, folder) if repo else None
    if kind == "dataset":
        sources.link_dataset(folder, out)
    else:
        named = repo or folder.as_posix()
        sources.describe_model(folder, named, revision if repo else None, out, record)


def split(instances: Path, switch: Switches, images: Path | None, out: Path, **given: Any) -> Facts:
    """Read the instances, and what is known of their images."""
    from legor1.data.fingerprints import read_images
    from legor1.data.instances import read_records
    from legor1.data.split import COLUMNS, split, write_split

    known = read_images(images) if images else None
    records = read_records(instances, COLUMNS)
    content = split(records, switches=dict(switch), images=known, **given)
    if content.get("groups", {}).get("compared") == "manuals":
        print("split: no images were compared; --images or --tree would", file=sys.stderr)
    return write_split(content, out)


def convert(
    instances: Path, split: Path, protocol: str, switch: Switches, out: Path, **given: Any
) -> Facts:
    """Read the instances and their split."""
    from legor1.core.files import read_json
    from legor1.data.conversations import Conversations, write_conversations
    from legor1.data.instances import read_records
    from legor1.published import defects

    active = defects.active(protocol, dict(switch))
    records, divided = read_records(instances), read_json(split)
    return write_conversations(Conversations(records, divided, defects=active, **given), out)


def export(
    conversations: Sequence[Path],
    tree: Path,
    format: str,
    max_pixels: int | None,
    min_pixels: int,
    out: Path,
) -> None:
    """Make a budget of the limits of an image's pixels."""
    from legor1.core.boxes import PixelBudget
    from legor1.core.errors import UserError
    from legor1.data.export.export import write_export

    try:
        budget = PixelBudget(min_pixels, max_pixels) if max_pixels else None
    except ValueError as error:
        raise UserError(f"{error}. Remedy: give another --max-pixels or --min-pixels.") from error
    say(f"export {format}", write_export(conversations, tree, out, format, budget))


def build_base(**given: Any) -> None:
    """Train on the CPU, and quietly."""
    _silence_libraries()
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from legor1.training.tiny_base import build

    build(**given)


def train(recipe: Facts, **given: Any) -> None:
    """Name the code that a checkpoint must have been made by."""
    from legor1.core.code_digest import code
    from legor1.training.launch import train

    train(recipe, code=code(f"train {recipe['method']}"), **given)


def predict(**given: Any) -> None:
    """Name the code that kept answers must have been made by."""
    _silence_libraries()
    from legor1.core.code_digest import code
    from legor1.inference.predict import predict

    predict(code=code("predict"), **given)


def gather(shards: list[Path], out: Path) -> Facts:
    """Count the predictions."""
    from legor1.inference.gather import gather

    return {"predictions": gather(shards, out)}


def score(predictions: Path, out: Path, **given: Any) -> None:
    """Say the scores of each task."""
    from legor1.evaluation.scoring import write_scores

    for task, metrics in write_scores(predictions, out, **given)["tasks"].items():
        values = {name: value for name, value in metrics.items() if isinstance(value, float)}
        say(f"score {predictions.stem} {task}", values)


def compare(scores: Sequence[tuple[str, Path]], out: Path, **given: Any) -> None:
    """Say how each pair differs in the main metric of each task."""
    from legor1.evaluation.comparison import write_comparison

    for one in write_comparison(scores, out, **given)["comparisons"]:
        for task, found in one["tasks"].items():
            pair = f"{one['experiment']} against {one['baseline']}"
            main = found["metrics"][found["main"]]
            facts = {"n": found["n"]} | {f"missing in {k}": n for k, n in found["missing"].items()}
            facts |= {found["main"]: main["difference"], "adjusted p": main["p_holm"]}
            say(f"compare {pair} {task}", facts)


def reward(rollouts: Path, suite: str, own: list[str] | None, out: Path) -> None:
    """Say the mean of each reward."""
    from legor1.evaluation.rollout_rewards import write_rewards

    say(f"reward {suite}", write_rewards(rollouts, out, suite, tuple(own or ())))


def report(run_dir: Path, out: Path, tables: Path | None, gallery: Path | None) -> Facts:
    """Say where the report is."""
    from legor1.report.page import render

    render(run_dir, out, tables, gallery)
    return {"written": out}


def figure1(trainings: Sequence[tuple[str, Path]], out: Path) -> Facts:
    """Say where the figure is."""
    from legor1.report.page import render_rewards

    render_rewards(dict(trainings), out)
    return {"written": out}


def pull(adapter: Path, recipe: Facts) -> Facts:
    """Say where the adapter is."""
    from legor1.publishing.pull_adapter import pull

    pull(adapter, recipe)
    return {"adapter": adapter}


def _resolved(overlays: Sequence[str], base_config: str) -> Facts:
    from legor1.config.settings import load, read

    return load(base_config, *map(read, overlays))


def config(out: Path | None, **given: Any) -> None:
    """Print the config where no file is named."""
    from legor1.core.files import write_json

    config = _resolved(**given)
    if out:
        write_json(out, config)
    else:
        print(json.dumps(config, indent=2, ensure_ascii=False))


def check(**given: Any) -> None:
    """Say that nothing is missing."""
    from legor1.planning.preflight import require

    config = _resolved(**given)
    require(config, Path("results") / config["run"])
    print(f"run {config['run']}: nothing is missing here")


def plan(
    gpu: str | None, base: Path | None, conversations: str | None, out: Path | None, **given: Any
) -> None:
    """Print the plan; a run that does not fit is an error.

    Raises:
        UserError: it does not fit.
    """
    from legor1.core.errors import UserError
    from legor1.core.files import write_json
    from legor1.planning.plan import misfits, plan
    from legor1.planning.plan_text import render

    content = plan(_resolved(**given), gpu, base, conversations)
    if out:
        write_json(out, content)
    print(render(content))
    if misfits(content):
        raise UserError("the run does not fit; the plan above says where and what to change")
