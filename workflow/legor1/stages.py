"""What each sub-command of ``legor1`` does with what it was given; its help is the docstring.

A stage's module is imported when the stage runs, so that ``--help`` and the light stages need not
wait for torch.
"""

import json
import os
import sys
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any


def _say(stage: str, facts: dict[str, Any]) -> None:
    shown = {k: f"{v:.3f}" if isinstance(v, float) else v for k, v in facts.items()}
    print(f"{stage}: " + ", ".join(f"{name} {value}" for name, value in shown.items()))


def _silence_libraries() -> None:
    """Keep libraries from talking between the stages' own lines of progress."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.simplefilter("ignore")


def synthesize(given: Namespace) -> None:
    """Draw brick manuals in LEGO-ARTA's layout.

    legor1 synthesize tree --manuals 8 --steps 4 --objects 6 --seed 7 --image-size 480x360,360x480
    """
    from legor1.data.synthetic import IMAGE_SIZES, parse_sizes, synthesize

    sizes = given.image_size
    synthesize(
        given.tree,
        manuals=given.manuals,
        steps=given.steps,
        objects=given.objects,
        seed=given.seed,
        image_sizes=parse_sizes(sizes) if sizes else IMAGE_SIZES,
        look=given.look,
        workers=given.workers,
    )


def fetch(given: Namespace) -> None:
    """Download a dataset or a model, or take one that is there, and say where it lies.

    legor1 fetch model --repo Qwen/Qwen2.5-VL-7B-Instruct --folder qwen --out base/model.json
    """
    from legor1.data import sources
    from legor1.data.fetch import fetch

    folder, repo = given.folder, given.repo
    record = fetch(given.kind, repo, given.revision, folder) if repo else None
    if given.kind == "dataset":
        sources.link_dataset(folder, given.out)
    else:
        revision = given.revision if repo else None
        sources.describe_model(folder, repo or folder.as_posix(), revision, given.out, record)


def manifest(given: Namespace) -> None:
    """List a tree's files with their sizes and SHA-256.

    legor1 manifest tree --out manifest.json
    """
    from legor1.data.manifest import write_manifest

    _say("manifest", write_manifest(given.tree, given.out))


def index(given: Namespace) -> None:
    """Read a dataset tree into one row an instance.

    legor1 index tree --out instances.parquet --quarantine quarantine.jsonl
    """
    from legor1.data.index import write_index

    _say("index", write_index(given.tree, given.out, given.quarantine))


def fingerprint(given: Namespace) -> None:
    """Take fingerprints of all images, to know the same picture in two manuals.

    legor1 fingerprint instances.parquet --tree tree --workers 2 --out images.parquet
    """
    from legor1.data.images import write_images

    _say("fingerprint", write_images(given.instances, given.tree, given.out, given.workers))


def split(given: Namespace) -> None:
    """Divide the instances into training and test.

    legor1 split instances.parquet --images images.parquet --seed 42 --out split.json
    """
    from legor1.data.images import read_images
    from legor1.data.instances import read_records
    from legor1.data.split import COLUMNS, split, write_split

    content = split(
        read_records(given.instances, COLUMNS),
        protocol=given.protocol,
        switches=dict(given.switch),
        seed=given.seed,
        test_fraction=given.test_fraction,
        images=read_images(given.images) if given.images else None,
        tree=given.tree,
    )
    if content.get("groups", {}).get("compared") == "manuals":
        print("split: no images were compared; --images or --tree would", file=sys.stderr)
    _say("split", write_split(content, given.out))


def convert(given: Namespace) -> None:
    """Write what the model is asked: prompts with their demonstrations, in both variants.

    legor1 convert instances.parquet split.json --protocol sound --seed 42 --out conversations
    """
    from legor1 import protocols
    from legor1.data.convert import Conversations, write_conversations
    from legor1.data.instances import read_records
    from legor1.files import read_json

    conversations = Conversations(
        read_records(given.instances),
        read_json(given.split),
        seed=given.seed,
        defects=protocols.active(given.protocol, dict(given.switch)),
        object_format=given.object_format,
    )
    _say("convert", write_conversations(conversations, given.out))


def audit(given: Namespace) -> None:
    r"""Measure which defects of data preparation are in the conversations.

    legor1 audit instances.parquet split.json sound --tree tree --images images.parquet \
        --out audit.json
    """
    from legor1.data.audit.audit import write_audit

    verdicts = write_audit(
        given.instances,
        given.split,
        given.conversations,
        given.out,
        tree=given.tree,
        images=given.images,
    )
    _say("audit", verdicts)


def export(given: Namespace) -> None:
    r"""Write conversations and their images in the format of another program.

    legor1 export conversations/train.jsonl conversations/test.jsonl --tree tree \
        --format llamafactory --max-pixels 589824 --out export
    """
    from legor1.boxes import PixelBudget
    from legor1.data.export.write import write_export
    from legor1.errors import UserError

    try:
        budget = PixelBudget(given.min_pixels, given.max_pixels) if given.max_pixels else None
    except ValueError as error:
        raise UserError(f"{error}. Remedy: give another --max-pixels or --min-pixels.") from error
    counts = write_export(given.conversations, given.tree, given.out, given.format, budget)
    _say(f"export {given.format}", counts)


def build_base(given: Namespace) -> None:
    """Make and train the tiny base model.

    legor1 build-base --conversations train.jsonl --tree tree --recipe recipe.json --out tiny
    """
    _silence_libraries()
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from legor1.training.tiny import build

    build(given.recipe, given.conversations, given.tree, given.out)


def train(given: Namespace) -> None:
    r"""Train an experiment's adapter, going on from the last checkpoint if there is one.

    legor1 train --recipe sft.json --conversations train.jsonl --tree tree \
        --base model.json --work work --out adapters/sft
    """
    from legor1.imports import code
    from legor1.training.launch import train

    train(
        given.recipe,
        given.conversations,
        given.tree,
        given.base,
        given.work,
        given.out,
        code(f"train {given.recipe['method']}"),
        manifest=given.manifest,
        minutes=given.minutes,
        attempt=given.attempt,
        log=given.log,
    )


def predict(given: Namespace) -> None:
    r"""Answer the test conversations, or one shard of them.

    legor1 predict --recipe predict.json --conversations test.jsonl --tree tree \
        --base model.json --adapter adapters/sft/adapter --out predictions.jsonl
    """
    _silence_libraries()
    from legor1.imports import code
    from legor1.inference.predict import predict

    predict(
        given.recipe,
        given.conversations,
        given.tree,
        given.base,
        given.adapter,
        given.shard,
        given.out,
        code("predict"),
    )


def gather(given: Namespace) -> None:
    """Put the shards of an experiment's predictions together.

    legor1 gather shards/0.jsonl shards/1.jsonl --out predictions.jsonl
    """
    from legor1.inference.gather import gather

    _say("gather", {"predictions": gather(given.shards, given.out)})


def baselines(given: Namespace) -> None:
    """Answer the test conversations without a model: what any model must beat.

    legor1 baselines --train train.jsonl --test test.jsonl --out predictions
    """
    from legor1.baselines import write_baselines

    _say("baselines", write_baselines(given.train, given.test, given.out))


def score(given: Namespace) -> None:
    """Score predictions under one protocol; sound has bootstrap intervals, thesis its quirks.

    legor1 score predictions.jsonl --protocol sound --out scores
    """
    from legor1.scoring import write_scores

    scores = write_scores(
        given.predictions,
        given.out,
        protocol=given.protocol,
        replicates=given.replicates,
        confidence=given.confidence,
        seed=given.seed,
    )
    for task, metrics in scores["tasks"].items():
        values = {name: value for name, value in metrics.items() if isinstance(value, float)}
        _say(f"score {given.predictions.stem} {task}", values)


def compare(given: Namespace) -> None:
    """Test whether experiments differ, pair by pair, on the instances that both answered.

    legor1 compare few_shot=scores/few_shot/sound sft=scores/sft/sound --out comparison.json
    """
    from legor1.compare import write_comparison

    comparison = write_comparison(
        given.scores,
        given.out,
        replicates=given.replicates,
        confidence=given.confidence,
        seed=given.seed,
    )
    for one in comparison["comparisons"]:
        for task, found in one["tasks"].items():
            pair = f"{one['experiment']} against {one['baseline']}"
            difference = found["metrics"][found["main"]]["difference"]
            facts = {"n": found["n"]} | {f"missing in {k}": n for k, n in found["missing"].items()}
            _say(f"compare {pair} {task}", facts | {found["main"]: difference, "p": found["p"]})


def reward(given: Namespace) -> None:
    """Add the rewards of a suite to rollouts.

    legor1 reward rollouts.jsonl --suite sound --out rewards.jsonl
    """
    from legor1.rewards.rollouts import write_rewards

    _say(f"reward {given.suite}", write_rewards(given.rollouts, given.out, given.suite))


def table(given: Namespace) -> None:
    """Put the experiments' scores, under one protocol or several, into one table.

    legor1 table sft=sft/sound/scores.json sft=sft/thesis/scores.json --out table.csv
    """
    from legor1.table import write_table

    write_table(given.scores, given.out)


def watch(given: Namespace) -> None:
    """Show how a running study stands, by its files alone, until it is done or Ctrl-C.

    legor1 watch results/demo
    """
    from legor1.watch.screen import watch

    watch(given.run_dir, once=given.once, seconds=given.every)


def report(given: Namespace) -> None:
    """Render the report of a run, finished or not: one HTML file, its gallery, its table elsewhere.

    legor1 report results/demo --out results/demo/report.html --gallery results/demo/gallery.html
    """
    from legor1.report.render import render

    render(given.run_dir, given.out, given.tables, given.gallery)
    _say("report", {"written": given.out})


def crate(given: Namespace) -> None:
    """Pack a finished run as an RO-Crate: its results, their records, and how they came about.

    legor1 crate results/demo --out demo.crate.zip
    """
    from legor1.crate import write_crate

    _say("crate", write_crate(given.run_dir, given.out, given.licence))


def figure1(given: Namespace) -> None:
    """Draw the reward curves of trainings side by side, as in the thesis's Figure 1.

    legor1 figure1 one=adapters/one two=adapters/two --out figure1.html
    """
    from legor1.report.render import render_rewards

    render_rewards(dict(given.trainings), given.out)
    _say("figure1", {"written": given.out})


def publish(given: Namespace) -> None:
    """Have DVC keep a finished run, and push it to the remote.

    legor1 publish results/demo
    """
    from legor1.publishing.publish import publish

    _say("publish", publish(given.run_dir))


def restore(given: Namespace) -> None:
    """Bring a published run back from the remote and check every file of it.

    legor1 restore results/demo
    """
    from legor1.publishing.publish import restore

    _say("restore", restore(given.run_dir))


def pull(given: Namespace) -> None:
    """Put the published adapter of an experiment where its training would.

    legor1 pull results/demo/adapters/sft --recipe sft.json
    """
    from legor1.publishing.adapters import pull

    pull(given.adapter, given.recipe)
    _say("pull", {"adapter": given.adapter})


def _resolved(given: Namespace) -> dict[str, Any]:
    from legor1.config import load, read

    return load(given.base_config, *map(read, given.overlays))


def config(given: Namespace) -> None:
    """Print the resolved config, or write it.

    legor1 config workflow/configs/demo.yaml
    """
    from legor1.files import write_json

    config = _resolved(given)
    if given.out:
        write_json(given.out, config)
    else:
        print(json.dumps(config, indent=2, ensure_ascii=False))


def check(given: Namespace) -> None:
    """Say what is missing to run a config on this machine.

    legor1 check workflow/configs/demo.yaml
    """
    from legor1.check import require

    config = _resolved(given)
    require(config, Path("results") / config["run"])
    print(f"run {config['run']}: nothing is missing here")


def plan(given: Namespace) -> None:
    """Say what a run will need of a GPU: tokens, memory by part, hours; or that it does not fit.

    legor1 plan workflow/configs/demo.yaml --gpu A100-40 --out plan.json
    """
    from legor1.errors import UserError
    from legor1.plan.plan import misfits, plan, write_plan
    from legor1.plan.render import render

    content = plan(_resolved(given), given.gpu, given.base, given.conversations)
    if given.out:
        write_plan(content, given.out)
    print(render(content))
    if misfits(content):
        raise UserError("the run does not fit; the plan above says where and what to change")
