"""The stages: the commands whose results the pipeline keeps. The rules call these alone.

What a stage's function imports is the code that its results depend on.
"""

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from legor1.cli import parameters as p
from legor1.cli.command import Facts, data_command, model_command, results_command, say
from legor1.core.code_digest import digest
from legor1.core.files import read_json, write_json
from legor1.core.format import p_value
from legor1.core.layout import ABLATION_MEASURED, ABLATION_PLANNED, DIALOGUES, REPORTED
from legor1.core.records import Role
from legor1.evaluation import suites
from legor1.published import defects
from legor1.tasks.baselines import NAMES as BASELINES

Recipe = dict[str, Any]
Switches = Sequence[tuple[str, bool]]


def _silence_libraries() -> None:
    """Keep libraries from printing between the stages' own lines of progress."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    if sys.stderr.isatty():  # a log keeps their warnings
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        warnings.simplefilter("ignore")


@data_command(
    "synthesize tree --manuals 8 --steps 4 --objects 6 --seed 7 --image-size 480x360,360x480",
    p.argument("tree", "the folder to draw into", p.WRITTEN_TREE, metavar="DIR"),
    *(p.MANUALS, p.STEPS, p.OBJECTS, p.SEED, p.IMAGE_SIZE, p.WORKERS),
)
def synthesize(tree: Path, image_size: str | None, **given: Any) -> None:
    """Draw brick manuals in LEGO-ARTA's layout."""
    from legor1.data.synthetic.dataset import IMAGE_SIZES, parse_sizes, synthesize

    synthesize(tree, image_sizes=parse_sizes(image_size) if image_size else IMAGE_SIZES, **given)


@data_command(
    "fetch model --repo Qwen/Qwen2.5-VL-7B-Instruct --folder qwen --out base/model.json",
    *(p.KIND, p.FOLDER, p.REPO, p.REVISION),
    p.option("--files", "dataset: what must be there", default=DIALOGUES),
    p.out("dataset: a link to the folder; model: model.json", role=p.WRITTEN_TREE),
)
def fetch(kind: str, folder: Path, repo: str | None, revision: str, files: str, out: Path) -> None:
    """Download a dataset or a model, or take one that is there, and say where it lies."""
    from legor1.data import download, sources

    record = download.fetch(kind, repo, revision, folder) if repo else None
    if kind == "dataset":
        sources.link_dataset(folder, out, files)
    else:
        named = repo or folder.as_posix()
        sources.describe_model(folder, named, revision if repo else None, out, record)


@data_command("manifest tree --out manifest.json", p.SOURCE, p.OUT)
def manifest(tree: Path, out: Path) -> Facts:
    """List a tree's files with their sizes and SHA-256."""
    from legor1.data.sources import write_manifest

    return write_manifest(tree=tree, out=out)


@data_command(
    "index tree --out instances.parquet --quarantine quarantine.jsonl",
    *(p.SOURCE, p.OUT, p.QUARANTINE, p.recipe("index", **p.MAYBE)),
)
def index(tree: Path, out: Path, quarantine: Path, recipe: Recipe | None) -> Facts:
    """Read a dataset tree into one row an instance."""
    from legor1.data.formats import own_data
    from legor1.data.lego_arta.index import write_index

    if recipe:
        summary = own_data.write_index(tree, recipe, out, quarantine)
    else:
        summary = write_index(tree, out, quarantine)
    return {"instances": sum(summary["rows"].values())} | summary


@data_command(
    "fingerprint instances.parquet --tree tree --workers 2 --out images.parquet",
    *(p.INSTANCES, p.TREE, p.WORKERS, p.OUT),
)
def fingerprint(instances: Path, tree: Path, workers: int, out: Path) -> Facts:
    """Take fingerprints of all images, to know the same picture in two manuals."""
    from legor1.data.fingerprints import write_images

    return write_images(instances, tree, out, workers)


@data_command(
    "split instances.parquet --images images.parquet --seed 42 --out split.json",
    *(p.INSTANCES, *p.DEFECTS, p.IMAGES, p.SEED, p.TEST_FRACTION, p.OUT),
)
def split(instances: Path, switch: Switches, images: Path | None, out: Path, **given: Any) -> Facts:
    """Divide the instances into training and test."""
    from legor1.data.fingerprints import read_images
    from legor1.data.instances import read_records
    from legor1.data.split import COLUMNS, split, write_split

    known = read_images(images) if images else None
    records = read_records(instances, COLUMNS)
    content = split(records, switches=dict(switch), images=known, **given)
    if content.get("groups", {}).get("compared") == "manuals":
        print("split: no images were compared; --images would", file=sys.stderr)
    return write_split(content, out)


@data_command(
    "convert instances.parquet split.json --protocol sound --seed 42 --out conversations",
    *(p.INSTANCES, p.SPLIT, *p.DEFECTS, p.OBJECT_FORMAT, p.SEED),
    p.out(p.CONVERTED, *p.CONVERSATIONS),
)
def convert(
    instances: Path, split: Path, protocol: str, switch: Switches, out: Path, **given: Any
) -> Facts:
    """Write what the model is asked: prompts with their demonstrations, in both variants."""
    from legor1.data.conversations import Conversations, write_conversations
    from legor1.data.instances import read_records

    active = defects.active(protocol, dict(switch))
    records, divided = read_records(instances), read_json(split)
    return write_conversations(Conversations(records, divided, defects=active, **given), out)


@data_command(
    "audit instances.parquet split.json sound --tree tree --out audit.json",
    *(p.INSTANCES, p.SPLIT),
    p.argument("conversations", p.CONVERTED, Role("input", p.CONVERSATIONS)),
    *(p.SEEN_TREE, p.IMAGES, p.OUT),
)
def audit(**given: Any) -> Facts:
    """Measure which defects of data preparation are in the conversations."""
    from legor1.data.audit.audit import write_audit

    return write_audit(**given)


@data_command(
    "export train.jsonl test.jsonl --tree tree --format llamafactory --out export",
    p.argument("conversations", "train.jsonl, test.jsonl", **p.MANY),
    *(p.TREE, p.FORMAT, p.MAX_PIXELS, p.MIN_PIXELS),
    p.out("the folder to write; an earlier export there is replaced"),
)
def export(format: str, max_pixels: int | None, min_pixels: int, **given: Any) -> None:
    """Write conversations and their images in the format of another program."""
    from legor1.data.export import write_export
    from legor1.models.registry import DEFAULT

    budget = DEFAULT.budget(min_pixels, max_pixels) if max_pixels else None
    say(f"export {format}", write_export(format=format, budget=budget, **given))


@data_command(
    "ablation-test sound/plain/test.jsonl thesis/plain/test.jsonl --rows 600 --out common.json",
    p.argument("tests", "test.jsonl of each protocol", **p.MANY),
    p.number("--rows", "at most so many; all, if it is not given", **p.MAYBE),
    p.number("--seed", "of the draw", default=42),
    p.OUT,
)
def ablation_test(tests: Sequence[Path], **given: Any) -> Facts:
    """Write which instances all protocols of an ablation test."""
    from legor1.data.common_test import write_common

    return write_common(tests, **given)


@data_command(
    "ablation-rows test.jsonl --common common.json --out common.jsonl",
    p.argument("conversations", "test.jsonl"),
    p.path("--common", "of `legor1 ablation-test`"),
    p.OUT,
)
def ablation_rows(**given: Path) -> Facts:
    """Take the conversations about the common test set out of one protocol's."""
    from legor1.data.common_test import write_rows

    return write_rows(**given)


@model_command(
    "ablation-plan results/demo --base-config config.json --out plan.json",
    p.argument("run", "the run's folder", Role("input", ABLATION_PLANNED)),
    *(p.BASE_CONFIG, p.OUT),
)
def ablation_plan(run: Path, base_config: str, out: Path) -> Facts:
    """Say which variants of an ablation share a training or a prediction, by their content."""
    from legor1.config.settings import load, typed
    from legor1.planning.shared_work import write_plan

    return write_plan(run, typed(load(base_config)), out)


@model_command(
    "build-base --recipe recipe.json --work work --out tiny",
    *(p.recipe("build-base"), p.WORK, p.OUT_FOLDER),
)
def build_base(**given: Any) -> None:
    """Make and train the tiny base model, resuming from its checkpoint if there is one."""
    _silence_libraries()
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from legor1.training.base.build import build

    build(code=digest("build-base"), **given)


@model_command(
    "train --recipe sft.json --conversations train.jsonl --tree tree --base model.json "
    "--work work --out adapters/sft",
    *(p.TRAIN, p.TREE, p.BASE, p.recipe("train"), p.WORK, p.OUT_FOLDER, p.MANIFEST, p.MINUTES),
    *(p.START_FROM, p.ATTEMPT, p.LOG),
)
def train(recipe: Recipe, **given: Any) -> None:
    """Train an experiment's adapter, resuming from the last checkpoint if there is one."""
    from legor1.training.launch import train

    own = suites.sources(recipe["training"].get("rewards", ()))
    train(recipe, code=digest(f"train {recipe['method']}", files=own), **given)


@model_command(
    "predict --recipe predict.json --conversations test.jsonl --tree tree "
    "--base model.json --adapter adapters/sft/adapter --out predictions.jsonl",
    p.path("--conversations", "test.jsonl"),
    *(p.TREE, p.BASE, p.recipe("predict"), p.ADAPTER, p.SHARD, p.OUT),
)
def predict(**given: Any) -> None:
    """Answer the test conversations, or one shard of them."""
    _silence_libraries()
    from legor1.inference.predict import predict

    predict(code=digest("predict"), **given)


@model_command(
    "import-answers answers.jsonl --recipe import.json --conversations test.jsonl "
    "--base model.json --out predictions.jsonl",
    p.argument("answers", "what another program wrote, a line of JSON each"),
    *(p.recipe("import"), p.path("--conversations", "test.jsonl"), p.BASE, p.OUT),
)
def import_answers(**given: Any) -> Facts:
    """Take another program's answers as an experiment's predictions."""
    from legor1.inference.external import take_answers

    return {"predictions": take_answers(**given)}


@model_command(
    "gather shards/0.jsonl shards/1.jsonl --out predictions.jsonl",
    p.argument("shards", "predictions of one shard each", metavar="SHARD...", **p.MANY),
    p.OUT,
)
def gather(shards: Sequence[Path], out: Path) -> Facts:
    """Merge the shards of an experiment's predictions."""
    from legor1.inference.prediction_file import gather

    return {"predictions": gather(list(shards), out)}


@model_command(
    "baselines --train train.jsonl --test test.jsonl --out predictions",
    p.path("--train", "the conversations that may be looked at"),
    p.path("--test", "the conversations that are answered"),
    p.out(p.INTO, *(f"{name}.jsonl" for name in BASELINES)),
)
def baselines(train: Path, test: Path, out: Path) -> Facts:
    """Answer the test conversations without a model: what any model must beat."""
    from legor1.tasks.baselines import write_baselines

    return write_baselines(train, test, out)


@results_command(
    "score predictions.jsonl --protocol sound --out scores",
    p.argument("predictions", "predictions.jsonl"),
    p.choice("--protocol", "sound", "thesis", **p.SOUND),
    *p.BOOTSTRAP,
    p.out(p.INTO, "scores.json", "per_example.parquet"),
)
def score(predictions: Path, protocol: str, out: Path, **given: Any) -> Facts:
    """Score predictions under one protocol; sound has bootstrap intervals, thesis its quirks."""
    from legor1.evaluation.scoring import PROTOCOLS, Bootstrap, write_scores

    scores = write_scores(predictions, out, protocol, Bootstrap(**given))["tasks"]
    main = PROTOCOLS[protocol]
    return {f"{task} {main[task].main}": scores[task][main[task].main] for task in scores}


@results_command(
    "compare few_shot=scores/few_shot/sound sft=scores/sft/sound --out comparison.json",
    p.argument(
        "scores",
        "folders of `legor1 score`, the baseline first; the same EXPERIMENT again is another "
        "training seed of it",
        form="[EXPERIMENT=]DIR",
        **p.MANY,
    ),
    *p.BOOTSTRAP,
    p.OUT,
)
def compare(scores: Sequence[p.Named], out: Path, **given: Any) -> Facts:
    """Test whether experiments differ, pair by pair, on the instances that both answered."""
    from legor1.evaluation.comparison import write_comparison
    from legor1.evaluation.resampling import significant
    from legor1.evaluation.scoring import Bootstrap

    adjusted = []
    for pair in write_comparison(scores, out, Bootstrap(**given))["comparisons"]:
        for task, compared in pair["tasks"].items():
            main = compared["metrics"][compared["main"]]
            missing = {f"missing in {name}": n for name, n in compared["missing"].items()}
            facts = {"n": compared["n"], **missing, compared["main"]: main["difference"]}
            facts["adjusted p"] = p_value(main["p_holm"])
            say(f"compare {pair['experiment']} against {pair['baseline']} {task}", facts)
            adjusted.append(main["p_holm"])
    clear = sum(significant(p, given["confidence"]) for p in adjusted)
    return {"tests": len(adjusted), "significant": clear}


@results_command(
    "frame predictions.jsonl --tree tree",
    p.argument("predictions", "lines with prediction, true reference, and image or its sizes"),
    p.path("--tree", "the folder that the images lie in", p.READ_TREE, **p.MAYBE),
    p.MIN_PIXELS,
    p.number("--max-pixels", "larger images are reduced", default=12845056),
    p.number("--factor", "side of a visual token in pixels: 32 for Qwen3-VL", **p.MAYBE),
    p.OUT_JSON,
)
def frame(
    predictions: Path, tree: Path | None, out: Path | None, factor: int | None, **given: int
) -> Facts:
    """Tell in which frame predicted boxes are, whoever made them: pixels, [0, 1000], x and y."""
    from legor1.core.boxes import PixelBudget
    from legor1.evaluation.frame_doctor import diagnose
    from legor1.models.registry import DEFAULT

    found = diagnose(predictions, tree, PixelBudget(factor=factor or DEFAULT.factor, **given))
    for name, iou in sorted(found["iou"].items(), key=lambda item: -item[1])[:5]:
        say(f"frame {name}", {"iou": iou})
    for size in found["sizes"]:
        shown = {"images": size["images"], "fits best": size["best"], "iou": size["iou"]}
        say(f"frame at {size['width']}x{size['height']}", shown)
    if out:
        write_json(out, found)
    best = {"best": found["best"] or "cannot tell", "certainty": found["certainty"]}
    return best | {"the same here": ", ".join(found["alike"]) or "none", "images": found["images"]}


@results_command(
    "probe-reward sound --conversations train.jsonl",
    p.argument("suite", "of rewards", type=click.Choice([*suites.SUITES])),
    *(p.TRAIN, p.OWN),
    p.path("--tree", "where the images lie, if a reward asks for them", p.READ_TREE, **p.MAYBE),
    p.number("--rows", "conversations of each task, at most", default=300),
    p.number("--seed", default=42),
    p.OUT_JSON,
)
def probe_reward(
    suite: str, conversations: Path, own: tuple[str, ...], out: Path | None, **given: Any
) -> Facts:
    """Score policies that know nothing under rewards, and name what earns more than it should."""
    from legor1.evaluation.reward_probe import probe

    result = probe(conversations, suite, own, **given)
    for earned in result["probes"]:
        paid = {name: earned[name] for name in ("share", "most", "n")}
        verdict = " PAYS TOO MUCH" if earned["pays_too_much"] else ""
        place = f"{earned['reward']} ({earned['task']}), {earned['probe']}"
        say(f"probe-reward{verdict}: {place}", paid)
    if out:
        write_json(out, result)
    flagged = sum(earned["pays_too_much"] for earned in result["probes"])
    return {"probes": len(result["probes"]), "that pay too much": flagged}


@results_command(
    "table sft=sft/sound/scores.json sft=sft/thesis/scores.json --out table.csv",
    p.argument("scores", "of `legor1 score`", form="EXPERIMENT=scores.json", **p.MANY),
    p.OUT,
)
def table(scores: Sequence[p.Named], out: Path) -> None:
    """Collect the experiments' scores, under one protocol or several, in one table."""
    from legor1.evaluation.table import write_table

    write_table(scores, out)


@results_command(
    "report results/demo --out results/demo/report.html --gallery results/demo/gallery.html",
    p.argument("run_dir", "the run's folder", Role("input", REPORTED)),
    *(p.OUT, p.TABLES, p.GALLERY),
)
def report(run_dir: Path, out: Path, tables: Path | None, gallery: Path | None) -> Facts:
    """Render the report of a run, finished or not: one HTML file, its gallery, its tables."""
    from legor1.report.page import render

    render(run_dir, out, tables, gallery)
    return {"written": out}


@results_command(
    "figure1 one=adapters/one two=adapters/two --out figure1.html",
    p.argument("trainings", "", Role("input", ("history.jsonl",)), "EXPERIMENT=DIR", nargs=-1),
    p.OUT,
)
def figure1(trainings: Sequence[p.Named], out: Path) -> Facts:
    """Draw the reward curves of trainings side by side, as in the thesis's Figure 1."""
    from legor1.report.page import render_rewards

    render_rewards(dict(trainings), out)
    return {"written": out}


@results_command(
    "ablation-measure results/demo --out ablation.json --table ablation.csv",
    p.argument("run", "the run's folder", Role("input", ABLATION_MEASURED)),
    *(*p.BOOTSTRAP, p.OUT),
    p.path("--table", "the same as CSV", p.WRITTEN),
)
def ablation_measure(run: Path, out: Path, table: Path, **given: Any) -> Facts:
    """Measure what each defect of an ablation moves, paired, with intervals."""
    from legor1.evaluation.ablation_effects import write_effects
    from legor1.evaluation.scoring import Bootstrap

    return write_effects(run, out, table, Bootstrap(**given))


@results_command(
    "ablation-page ablation.json --out ablation.html",
    p.argument("effects", "of `legor1 ablation-measure`"),
    p.OUT,
)
def ablation_page(effects: Path, out: Path) -> Facts:
    """Render the page of an ablation: one HTML file."""
    from legor1.report.page import render_ablation

    render_ablation(effects, out)
    return {"written": out}
