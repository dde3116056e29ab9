"""What Snakemake plans: the real study and every shipped config, or one clear error."""

import json
import re

import pytest
from study import ROOT, Study

CONVERSATIONS = {"convert_dataset": 1, "audit_dataset": 1}
IMAGES = {"index_dataset": 1, "fingerprint_images": 1}
DATA = {"fetch_dataset": 1, "split_dataset": 1} | IMAGES | CONVERSATIONS
RESULTS = {
    "gather_predictions": 3,
    "compile_table": 1,
    "compare_experiments": 1,
    "render_report": 1,
}
TRAINING = {"train_sft": 1, "train_grpo": 1}
CHAINED = {"train_sft": 1, "train_grpo": 2}  # GRPO once from the base and once from SFT's adapter
LEAKY = "protocols={leaky: {defects: [self_demo, row_split]}}"
ALL_AFTER_DATA = TRAINING | RESULTS | {"predict_shard": 3, "answer_without_model": 1}


# Of two protocols, eight experiments and four baselines that need no model.
FULL = dict.fromkeys(("split_dataset", "convert_dataset", "audit_dataset"), 2)
FULL |= {"train_sft": 2, "train_grpo": 3, "predict_shard": 32, "gather_predictions": 8}
FULL |= {"fetch_base": 1, "score_predictions": 24, "probe_rewards": 3}
ONE_PROTOCOL = {"split_dataset": 1, "convert_dataset": 1, "audit_dataset": 1}
TWO_REWARDS = {"train_grpo": 2}


def test_the_real_study_is_planned_without_gpu_or_network(tmp_path):
    plan = Study(tmp_path).plan()
    assert plan == DATA | ALL_AFTER_DATA | FULL


@pytest.mark.parametrize(
    ("overlays", "trained"),
    [
        (["demo"], CHAINED),
        (["smoke"], TRAINING),
        (["thesis"], TRAINING),
        (["thesis_first"], TWO_REWARDS),
        (["demo", "figure1"], TWO_REWARDS),
        (["demo", "ablation_demo"], CHAINED),
    ],
    ids=lambda given: given[-1] if isinstance(given, list) else "",
)
def test_every_shipped_config_can_be_planned(tmp_path, overlays, trained):
    plan = Study(tmp_path, *overlays).plan()
    assert {rule: count for rule, count in plan.items() if rule.startswith("train_")} == trained
    assert {rule: plan[rule] for rule in ONE_PROTOCOL} == ONE_PROTOCOL
    assert plan["render_report"] == 1


def test_further_seeds_repeat_the_trainings_and_nothing_before_them(tmp_path):
    once = Study(tmp_path / "once", "demo").plan()
    thrice = Study(tmp_path / "thrice", "demo").plan("--config", "seeds=[43, 44]")
    more = {rule: thrice[rule] - once[rule] for rule in thrice if thrice[rule] != once[rule]}
    assert more == {
        "train_sft": 2,
        "train_grpo": 4,
        "predict_shard": 6,
        "gather_predictions": 6,
        "score_predictions": 12,
    }


def test_answers_from_elsewhere_are_imported_and_nothing_is_trained_or_predicted(tmp_path):
    study = Study(tmp_path, "smoke")
    (tmp_path / "answers.jsonl").touch()
    elsewhere = {"method": "external", "predictions": "answers.jsonl"}
    mine = {"columns": ["few_shot", "elsewhere"], "experiments": {"elsewhere": elsewhere}}
    (tmp_path / "mine.yaml").write_text(json.dumps(mine))
    study.overlay.append("mine.yaml")
    plan = study.plan()
    made = {rule: plan.get(rule, 0) for rule in ("import_answers", "predict_shard", "train_sft")}
    assert made == {"import_answers": 1, "predict_shard": 2, "train_sft": 0}
    assert plan["compare_experiments"] == 1


def test_a_training_waits_for_the_adapter_that_it_starts_from(tmp_path):
    weights = "results/demo/adapters/{}/adapter/adapter_model.safetensors"
    for name, trained in (("grpo", {"train_grpo": 1}), ("sft_grpo", TRAINING)):
        plan = Study(tmp_path / name, "demo").plan(weights.format(name))
        assert {rule: n for rule, n in plan.items() if rule.startswith("train_")} == trained


@pytest.mark.parametrize("overlays", [["thesis_first"], ["demo", "figure1"]])
def test_figure_1_needs_its_two_trainings_and_no_predictions(tmp_path, overlays):
    plan = Study(tmp_path, *overlays).plan("figure1")
    assert plan["train_grpo"] == 2 and plan["draw_figure1"] == 1
    assert set(plan) <= {*DATA, "fetch_base", "train_grpo", "draw_figure1"} - {"audit_dataset"}


def test_every_shipped_config_is_among_them():
    shipped = {path.stem for path in (ROOT / "workflow/configs").glob("*.yaml")}
    (marked,) = test_every_shipped_config_can_be_planned.pytestmark
    planned = {overlays[-1] for overlays, _ in marked.args[1]}
    assert planned == shipped - {"ablation"}, "whose study is config.yaml's"


def test_a_dry_run_says_what_the_study_will_take(tmp_path):
    done = Study(tmp_path / "study").snakemake("--dry-run")
    assert re.search(r"^Plan: .* h of A40, .* h of A100-80; everything fits$", done.stdout, re.M)
    done = Study(tmp_path / "demo", "demo", with_base=True).snakemake("--dry-run")
    assert re.search(r"^Plan: .* min of CPU; everything fits$", done.stdout, re.M)


def test_a_plan_that_cannot_be_made_does_not_stop_the_dry_run(tmp_path):
    done = Study(tmp_path, "demo").snakemake("--dry-run")  # its base is a stand-in
    assert done.returncode == 0
    assert "No plan: the config.json of shipped describes no Qwen2.5-VL" in done.stdout


def requests(folder, *arguments) -> dict[str, list[dict[str, str]]]:
    """Return rule → what each of its jobs in the full study asks for."""
    said = Study(folder).snakemake("--dry-run", "--quiet", "host", "--verbose", *arguments).stdout
    found: dict[str, list[dict[str, str]]] = {}
    job = r"^rule (\w+):\n(?: .*\n)*?    resources: (.*)$"
    for rule, asked in re.findall(job, said, re.M):
        found.setdefault(rule, []).append(dict(re.findall(r"(\w+)=([^,]+)", asked)))
    return found


def test_the_rules_name_no_gpu_model(tmp_path):
    for rule, jobs in requests(tmp_path).items():
        on_gpu = rule in ("train_sft", "train_grpo", "predict_shard")
        assert {job.get("gpu") for job in jobs} == ({"1"} if on_gpu else {None})
        assert not [job for job in jobs if {"gpu_model", "slurm_partition"} & job.keys()]


@pytest.fixture(scope="module")
def on_a_cluster(tmp_path_factory):
    return requests(tmp_path_factory.mktemp("cluster"), "--workflow-profile", "slurm")


def test_on_a_cluster_it_asks_for_the_right_gpus(on_a_cluster):
    for rule, model, memory in (
        ("train_sft", "a100", 64000),
        ("train_grpo", "a100", 64000),
        ("predict_shard", "a40", 32000),
    ):
        for job in on_a_cluster[rule]:
            assert (job["slurm_partition"], job["gpu_model"], job["gpu"]) == (model, model, "1")
            assert job["mem_mb"] == str(memory)
    for job in on_a_cluster["train_sft"] + on_a_cluster["train_grpo"]:
        assert int(job["runtime"]) - int(job["wall_minutes"]) >= 20


def test_on_a_cluster_other_jobs_ask_for_no_gpu(on_a_cluster):
    for rule in on_a_cluster.keys() - {"train_sft", "train_grpo", "predict_shard"}:
        for job in on_a_cluster[rule]:
            assert job["slurm_partition"] == "cpu"
            assert not {"gpu", "gpu_model"} & job.keys()


def test_running_it_here_stops_at_once_and_shows_the_way_to_the_demo(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = Study(tmp_path).snakemake()
    assert done.returncode != 0
    assert "Error: run study cannot be made on this machine:" in done.stdout
    assert "PPPPPeter/arta is to be downloaded, but HF_HUB_OFFLINE is set" in done.stdout
    assert "make demo" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "results").exists()


def test_fetch_downloads_and_no_more(tmp_path):
    assert Study(tmp_path).plan("fetch") == {"fetch_dataset": 1, "fetch_base": 1}


def test_the_base_is_rebuilt_from_nothing_but_the_config(tmp_path):
    assert Study(tmp_path, "demo").plan("rebuild_base") == {"build_tiny_base": 1}
    told = Study(tmp_path / "told", "demo").plan("--config", "base={source: rebuild}")
    assert told["build_tiny_base"] == 1
    assert told["index_dataset"] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("inferense=1", "unknown key inferense. Did you mean inference?"),
        ("seed=x", "seed: Input should be a valid integer (given: 'x')"),
        ("dataset={source: directory}", "dataset.directory is missing"),
    ],
)
def test_a_bad_config_fails_the_plan_with_one_clear_error(tmp_path, change, said):
    done = Study(tmp_path, "demo").snakemake("--dry-run", "--config", change)
    assert done.returncode != 0
    assert said in done.stdout
    assert "Remedy: " in done.stdout
    assert "Traceback" not in done.stdout
    assert "File " not in done.stdout


def test_a_key_that_comes_twice_fails_the_plan(tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("run: mine\nseed: 1\nseed: 2\n")
    done = Study(tmp_path).snakemake("--dry-run", "--configfile", str(overlay))
    assert done.returncode != 0
    assert f"Error: {overlay}, line 3 cannot be read" in done.stdout
    assert "the key seed is in line 2 already" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_folder_that_is_no_dataset_fails_before_any_job(tmp_path):
    source = f"dataset={{source: directory, directory: {tmp_path}}}"
    done = Study(tmp_path / "study", "demo").snakemake("--config", source)
    assert done.returncode != 0
    assert "is no LEGO-ARTA tree" in done.stdout
    assert "steps (" not in done.stdout


def test_only_what_an_experiment_uses_is_prepared(tmp_path):
    study = Study(tmp_path, "demo")
    experiments = "experiments={few_shot: {protocol: leaky}, grpo: {variant: reasoning}}"
    plan = study.plan("--config", LEAKY, experiments)
    assert plan["split_dataset"] == plan["convert_dataset"] == plan["audit_dataset"] == 2
    shown = ("--dry-run", "--printshellcmds", "--quiet", "host")
    said = study.snakemake(*shown, "--config", LEAKY, experiments).stdout
    for told in (
        "--protocol sound --switch self_demo=on --switch row_split=on --object-format json",
        "--conversations results/demo/data/sound/reasoning/train.jsonl",
        "--conversations results/demo/data/sound/reasoning/test.jsonl",
        "--conversations results/demo/data/leaky/plain/test.jsonl",
    ):
        assert told in said


ABLATION = {"of": ["few_shot", "sft"], "defects": ["row_split", "two_generations", "summed_iou"]}


def test_an_ablation_is_planned_up_to_what_only_its_data_can_tell(tmp_path):
    block = f"ablation={ABLATION}".replace("'", '"')
    plan = Study(tmp_path, "demo").plan("ablation", "--config", block)
    # Of data, one defect: sound, thesis, and each with it switched.
    each = dict.fromkeys(("split_ablation", "convert_ablation", "audit_ablation"), 4)
    asked = {"take_common_rows": 4, "find_common_test": 1, "plan_ablation": 1}
    results = {"measure_ablation": 1, "render_ablation": 1, "ablation": 1}
    found = {rule: n for rule, n in plan.items() if rule in each | asked | results}
    assert found == each | asked | results
    assert not {rule for rule in plan if rule.startswith(("train_", "predict_", "render_report"))}


def test_an_ablation_leaves_the_study_as_it_is(tmp_path):
    study = Study(tmp_path, "demo")
    study.pretend_finished()
    block = f"ablation={ABLATION}".replace("'", '"')
    assert study.plan("--config", block) == {}
