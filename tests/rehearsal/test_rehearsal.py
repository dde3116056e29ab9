"""The dress rehearsal: config.yaml with all experiments, then Figure 1 of thesis_first.yaml.

From `snakemake fetch` to the report, on stand-ins for the real models and the real dataset that a
hub on this machine serves under their own names. With REHEARSAL=slurm, the first runs on the SLURM
of the cluster's tests.
"""

import csv
import os
import time
from pathlib import Path

import booklets
import pytest
import qwen_files
import yaml
from hub_server import Hub
from site_study import SiteStudy
from study import ROOT, Study
from surroundings import CHECKS

from legor1.config.settings import load, typed
from legor1.core.files import read_json, read_jsonl

pytestmark = pytest.mark.rehearsal
HERE = Path(__file__).parent
SOUND = ("few_shot", "zero_shot", "sft", "grpo", "sft_grpo")
EXPERIMENTS = (*SOUND, "thesis_few_shot", "thesis_sft", "thesis_grpo")
TRAINED = [name for name in EXPERIMENTS if "_shot" not in name]
FIGURE1 = ("figure1_configuration1", "figure1_configuration2")
WITH_SLURM = os.environ.get("REHEARSAL") == "slurm"
MODELS = {  # repository: the config that names its revision
    qwen_files.LARGER: ROOT / "config.yaml",
    qwen_files.SMALLER: ROOT / "workflow/configs/thesis_first.yaml",
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Serve the dataset and both models under the names and revisions of the configs."""
    hub, folder = Hub(), tmp_path_factory.mktemp("hub")
    hub.repos = {("dataset", "PPPPPeter/arta"), *(("model", repo) for repo in MODELS)}
    for repo, config in MODELS.items():
        told = yaml.safe_load(config.read_text())["base"]["huggingface"]
        assert told["repo"] == repo
        qwen_files.write_small(folder / repo, repo)
        files = {path.name: path.read_bytes() for path in (folder / repo).iterdir()}
        hub.commit(files, name=told["revision"])
    hub.commit(booklets.draw(folder / "arta"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("HF_ENDPOINT", hub.address)
        yield hub
    hub.close()


def run(study: Study, *arguments: str) -> None:
    """Run Snakemake until it succeeds, and print how long it took."""
    started = time.monotonic()
    if isinstance(study, SiteStudy) and arguments != ("fetch",):
        study.finish(*arguments)
    else:
        done = study.snakemake("--cores", "2", *arguments)
        assert done.returncode == 0, done.stdout
    print(f"\nsnakemake {' '.join(arguments)}: {time.monotonic() - started:.0f} s")


@pytest.fixture(scope="module")
def full(hub, tmp_path_factory, request):
    """Return the finished study of config.yaml."""
    if WITH_SLURM:
        request.getfixturevalue("slurm")
    kind = SiteStudy if WITH_SLURM else Study
    study = kind(tmp_path_factory.mktemp("full"), with_base=True)
    study.overlay = ["--configfile", "config.yaml", str(HERE / "overlay.yaml")]
    run(study, "fetch")
    run(study)
    return study


@pytest.fixture(scope="module")
def results(full):
    return full.folder / "results/study"


def test_the_downloaded_model_has_the_real_surroundings(full, results):
    model = read_json(results / "base/model.json")
    told = yaml.safe_load((ROOT / "config.yaml").read_text())["base"]["huggingface"]
    assert (model["source"], model["commit"]) == (told["repo"], told["revision"])
    folder = (results / "base" / model["path"]).resolve()
    assert folder.is_relative_to(full.folder / "resources/models" / told["repo"])
    assert {"merges.txt", "model-00005-of-00005.safetensors"} <= model["files"].keys()
    assert "README.md" not in model["files"]
    for check in CHECKS.values():
        check(folder)


def test_every_oddity_of_the_dataset_is_read_or_set_aside(results):
    reasons = {row["reason"] for row in read_jsonl(results / "data/quarantine.jsonl")}
    assert len(reasons) >= 5, reasons
    pages = read_jsonl(results / "data/sound/plain/train.jsonl")
    pages += read_jsonl(results / "data/sound/plain/test.jsonl")
    assert booklets.PAGE in {(row["width"], row["height"]) for row in pages}
    assert {Path(row["image"]).suffix for row in pages} == {".jpg", ".png"}
    assert len(pages) > 40


def test_the_table_has_all_columns(results):
    with (results / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(EXPERIMENTS) <= {row["experiment"] for row in rows}
    for experiment in EXPERIMENTS:
        mine = [row for row in rows if row["experiment"] == experiment]
        assert {row["task"] for row in mine} >= {"object", "grounding", "state"}
        assert {row["protocol"] for row in mine} == {"sound", "thesis"}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_test_example_is_answered_as_the_config_says(results, experiment):
    config = read_json(results / "config.json")
    one = config["experiments"][experiment]
    asked = read_jsonl(results / f"data/{one['protocol']}/{one['variant']}/test.jsonl")
    answered = read_jsonl(results / f"predictions/{experiment}.jsonl")
    assert [row["instance_id"] for row in answered] == sorted(row["instance_id"] for row in asked)
    answers = {row["prediction"] for row in answered}
    assert len(answers) > 3  # the stand-in knows nothing, but does not say the same to all
    study = typed(config)
    penalties = {name: study.inference_of(name).repetition_penalty for name in EXPERIMENTS}
    assert penalties == dict.fromkeys(EXPERIMENTS, 1.0) | {
        "thesis_few_shot": 1.05,
        "thesis_grpo": 1.05,
    }


@pytest.mark.parametrize("experiment", TRAINED)
def test_every_training_leaves_an_adapter_that_moved_if_it_could(results, experiment):
    from safetensors.numpy import load_file

    folder = results / "adapters" / experiment
    weights = load_file(folder / "adapter/adapter_model.safetensors")
    assert all("language_model" in name for name in weights)
    history = read_jsonl(folder / "history.jsonl")
    # GRPO learns from a group whose rewards differ; the thesis's few, short rollouts may have none.
    spreads = [row["reward_std"] for row in history if "reward_std" in row]
    facts = read_json(folder / "run.json")
    start = dict.fromkeys(weights, 0)
    if facts["start_from"]:
        start = load_file(results / "adapters/sft/adapter/adapter_model.safetensors")
    moved = any((one != start[name]).any() for name, one in weights.items() if "lora_B" in name)
    assert moved == (any(spreads) if spreads else True)
    print(f"\n{experiment}: {facts['seconds']} s, {facts['peak_memory_mib']} MiB")
    assert facts["steps"] >= 2


def test_report_and_records_are_there(full, results):
    page = (results / "report.html").read_text()
    assert load(ROOT / "config.yaml")["report"]["title"] in page
    assert all(name in page for name in EXPERIMENTS)
    assert "not finished" not in page
    recorded = {
        one["path"]
        for path in results.rglob("*.provenance.json")
        for one in read_json(path)["outputs"]
    }
    outputs = full.snakemake("--summary").stdout.splitlines()
    outputs = {line.split("\t")[0] for line in outputs if line.startswith("results/")}
    assert len(outputs) > 60 and outputs <= recorded
    assert full.plan() == {}


def test_figure_1_of_the_first_iteration(hub, tmp_path_factory):
    study = Study(tmp_path_factory.mktemp("first"), with_base=True)
    overlays = ["workflow/configs/thesis_first.yaml", str(HERE / "overlay_first.yaml")]
    study.overlay = ["--configfile", *overlays]
    run(study, "fetch")
    run(study, "figure1")
    results = study.folder / "results/thesis_first"
    page = (results / "figure1.html").read_text()
    model = read_json(results / "base/model.json")
    folder = (results / "base" / model["path"]).resolve()
    assert model["source"] == qwen_files.SMALLER
    for check in CHECKS.values():
        check(folder)
    for experiment in FIGURE1:
        assert experiment in page
        history = read_jsonl(results / f"adapters/{experiment}/history.jsonl")
        assert len([row for row in history if "reward" in row]) == 2
