"""The plan of a run: what is in it, what fits, and how it is said."""

import json
from pathlib import Path

import jsonschema
import pytest
from trl.trainer.utils import RepeatSampler

from legor1.cli import main
from legor1.config.job_params import GrpoJob, PredictionJob
from legor1.config.models import GrpoTraining, Lora, Training
from legor1.config.settings import load, read, typed
from legor1.core.errors import UserError
from legor1.core.files import read_json, write_json, write_jsonl
from legor1.models.registry import DEFAULT
from legor1.planning import duration, machines
from legor1.planning import plan as planning
from legor1.planning.plan import misfits, render, summary
from legor1.planning.preflight import TINY_BASE
from legor1.planning.tokens import Load, Spread

ROOT = Path(__file__).parents[3]
BASE = ROOT / "config.yaml"
DEMO = read(ROOT / "workflow/configs/demo.yaml")
FLASH = {"precision": "bfloat16", "attention": "flash_attention_2", "engine": "transformers"}
QWEN = DEFAULT.architecture("7B", DEFAULT.known["Qwen/Qwen2.5-VL-7B-Instruct"])


def plan(config, *arguments, **options):
    return planning.plan(typed(config), *arguments, **options)


def stages(content):
    return {
        (name, stage["stage"]): stage
        for name, experiment in content["experiments"].items()
        for stage in experiment["stages"]
    }


def hours(content):
    return sum(sum(stage["seconds"].values()) for stage in stages(content).values()) / 3600


def test_the_full_study_fits_the_gpus_that_its_rules_ask_for():
    content = plan(load(BASE))
    found = stages(content)
    assert set(found) == {
        (prefix + name, stage)
        for prefix in ("", "thesis_")
        for name, names in {
            "few_shot": ["predict"],
            "sft": ["train", "predict"],
            "grpo": ["train", "predict"],
        }.items()
        for stage in names
    } | {("zero_shot", "predict"), ("sft_grpo", "train"), ("sft_grpo", "predict")}
    assert {stage["machine"] for stage in found.values()} == {"A100-80", "A40"}
    assert misfits(content) == []
    assert found["sft", "train"]["steps"] == 564  # 3 epochs of 1,500 rows by 8, the last short
    assert found["sft", "train"]["trainable_parameters"] == 20_185_088
    assert found["sft", "train"]["rows"] == 1500
    assert content["parameters"] == 8_292_166_656
    assert 10 < hours(content) < 120


def test_both_trainings_of_the_sound_study_have_one_budget():
    found = stages(plan(load(BASE)))
    sft, grpo = found["sft", "train"], found["grpo", "train"]
    for fact in ("rows", "trainable_parameters", "tokens"):
        assert sft[fact] == grpo[fact]
    # TRL's sampler leaves out the last 4 of 1,500 rows, in each of 3 epochs.
    assert (sft["steps"], grpo["steps"]) == (564, 561)


def test_a_training_that_starts_from_an_adapter_says_so_and_keeps_a_reference_only_for_a_penalty():
    config = load(BASE)
    content = plan(config)
    both, grpo = (stages(content)[name, "train"] for name in ("sft_grpo", "grpo"))
    assert (both["start_from"], grpo["start_from"]) == ("sft", None)
    assert both["memory"] == grpo["memory"]
    assert "561 steps from the adapter of sft; lengths" in render(content)
    for name in ("sft_grpo", "grpo"):
        config["experiments"][name]["training"]["beta"] = 0.04
    with_reference = stages(plan(load(BASE, {"experiments": config["experiments"]})))
    lora = [
        with_reference[name, "train"]["memory"]["loss"]["LoRA parameters"]
        for name in ("sft_grpo", "grpo")
    ]
    assert lora == [4 * 20_185_088, 2 * 20_185_088]  # bfloat16, twice and once


def test_an_experiments_own_pixel_budget_and_inference_are_planned_with():
    found = stages(plan(load(BASE)))
    for stage in ("train", "predict"):
        assert found["thesis_sft", stage]["tokens"]["visual"]["most"] == 3 * 752
        assert found["thesis_grpo", stage]["tokens"]["visual"]["most"] in (2 * 2600, 3 * 2600)
    answers = {name: found[name, "predict"]["seconds"]["answers"] for name in ("sft", "thesis_sft")}
    assert answers["thesis_sft"] < answers["sft"]  # smaller images: more prompts in a batch


def test_a_prompt_that_is_computed_once_for_its_group_takes_less_of_everything():
    experiments = load(BASE)["experiments"]
    shared = stages(plan(load(BASE)))["grpo", "train"]
    experiments["grpo"]["lora"]["dropout"] = 0.05  # drawn for each completion: nothing is shared
    stock = stages(plan(load(BASE, {"experiments": experiments})))["grpo", "train"]
    parts = [one["memory"]["rollout's prompts"] for one in (stock, shared)]
    assert parts[0]["activations"] == 8 * parts[1]["activations"]
    assert parts[0]["KV cache"] == parts[1]["KV cache"]
    assert stock["seconds"]["update"] > 4 * shared["seconds"]["update"]
    assert not stock["fits"]


def test_what_does_not_fit_is_a_clear_no_that_names_the_part():
    content = plan(load(BASE), "L4")
    assert not stages(content)["grpo", "train"]["fits"]
    line = next(one for one in misfits(content) if one.startswith("grpo: train"))
    assert "L4 has 21.9" in line
    assert "Remedy: the KV cache: lower experiments.grpo.training.batch_size" in line
    assert "NO, it does not fit" in summary(content)
    assert line in summary(content)
    assert "grpo train on L4: DOES NOT FIT" in render(content)


def test_prompts_longer_than_the_limit_do_not_fit():
    content = plan(load(BASE, {"max_tokens": 4096}))
    lines = misfits(content)
    assert len(lines) == 10  # all but thesis_sft, whose images are smaller, and zero_shot, with one
    assert not [line for line in lines if line.startswith(("thesis_sft", "zero_shot"))]
    assert (
        "sft: train meets prompts of 8,790 tokens with their answer, the limit is 4,096" in lines[1]
    )
    assert "Remedy: lower pixel_budget.max_pixels" in lines[1]


@pytest.mark.parametrize("gpu", machines.GPUS)
def test_every_gpu_can_be_planned_for_and_the_command_line_knows_it(gpu):
    content = plan(load(BASE), gpu)
    assert {stage["machine"] for stage in stages(content).values()} == {gpu}
    assert main.app.commands["plan"].make_context("plan", ["--gpu", gpu]).params["gpu"] == gpu


def test_a_faster_gpu_takes_less_time_and_more_processes_share_the_work():
    a40, h100 = (plan(load(BASE), gpu) for gpu in ("A40", "H100"))
    assert hours(h100) < hours(a40)
    one, four = (stages(plan(load(BASE, {"processes": n})))["sft", "train"] for n in (1, 4))
    assert four["steps"] == 141
    assert sum(four["seconds"].values()) < sum(one["seconds"].values()) / 2
    assert four["needed"] < one["needed"]


def test_checkpointing_trades_time_for_memory():
    experiments = load(BASE)["experiments"]
    experiments["sft"]["training"]["gradient_checkpointing"] = False
    with_it = stages(plan(load(BASE)))["sft", "train"]
    without = stages(plan(load(BASE, {"experiments": experiments})))["sft", "train"]
    assert without["needed"] > 2 * with_it["needed"]
    assert without["seconds"]["update"] == pytest.approx(with_it["seconds"]["update"] * 2 / 3)


def test_operations_of_the_7b_model_worked_by_hand():
    # 6.53e9 weights in 28 layers, twice each; 28 × 3584 × 1000 × 2 for scores and values
    assert duration.language_operations(QWEN, 1, 1000) == pytest.approx(13.05e9 + 0.2e9, rel=0.01)
    # a visual token: 4 patches × 32 blocks of 19.7e6 weights, and the merger
    assert duration.vision_operations(QWEN, 1) == pytest.approx(5.14e9, rel=0.01)


def test_writing_is_bound_by_the_host_or_by_bandwidth():
    passed = duration.Pass(1, 1000, 0, new=10, scored=0)
    job = PredictionJob.model_construct(**FLASH)
    fast, slow = (duration.writing(QWEN, passed, job, machines.GPUS[gpu]) for gpu in ("H100", "L4"))
    assert fast == pytest.approx(10 * 28 * 0.001)
    assert slow == pytest.approx(10 * (2 * 7.6156e9 + 3 * 1010 * 57344) / 180e9, rel=0.001)


def test_the_cache_is_copied_for_every_token():
    """64 rows of 6.3k tokens: 24 GB, 15 GB of weights, at 60 % of 2,039 GB/s."""
    passed = duration.Pass(64, 6300, 0, new=1, scored=0)
    took = {
        name: duration.writing(
            QWEN, passed, PredictionJob.model_construct(**job), machines.GPUS["A100-80"]
        )
        for name, job in {
            "vllm": FLASH | {"engine": "vllm"},
            "sdpa": FLASH | {"attention": "sdpa"},
            "flash": FLASH,
        }.items()
    }
    read = 64 * 6301 * 57344
    for name, times in {"vllm": 1, "sdpa": 3, "flash": 5}.items():
        assert took[name] == pytest.approx((2 * 7.6156e9 + times * read) / 1223e9, rel=0.01)
    assert took["vllm"] == pytest.approx(0.031, abs=0.001)
    assert 0.065 < took["sdpa"] < took["flash"] < 0.11


def test_steps_are_told_or_follow_from_epochs():
    training = GrpoTraining.model_construct(batch_size=4, accumulation=2, epochs=2, generations=8)
    assert duration.steps(training, 2, 9) == 8  # 4 steps of 2 prompts an epoch
    assert duration.steps(Training.model_construct(steps=7), 1, 9) == 7


@pytest.mark.parametrize("rows, expected", [(1500, 561), (19, 6)])
def test_steps_of_grpo_are_those_of_trls_sampler(rows, expected):
    training = GrpoTraining.model_construct(batch_size=8, accumulation=8, epochs=3, generations=8)
    sampler = RepeatSampler(range(rows), mini_repeat_count=8, batch_size=8, repeat_count=8)
    assert duration.steps(training, 1, rows) == expected
    assert expected == 3 * len(sampler) // (64 * 8)


def test_images_are_opened_once_a_prompt():
    content = stages(plan(load(BASE)))
    sft, grpo = (content[name, "train"] for name in ("sft", "grpo"))
    images = sft["tokens"]["visual"]["mean"] / 2600
    page = 0.022 + 0.077 / 8  # seconds: decoded on one thread, resized on eight
    assert sft["seconds"]["images"] == pytest.approx(564 * 8 * images * page, rel=0.03)
    assert grpo["seconds"]["images"] == pytest.approx(561 * 8 * images * page, rel=0.03)


def test_a_reference_costs_time_only_if_there_is_a_penalty():
    training = {"batch_size": 4, "accumulation": 2, "steps": 5, "max_new_tokens": 10}
    training |= {"generations": 2, "gradient_checkpointing": True}
    lora = Lora.model_construct(dropout=0.05)
    shared = FLASH | {"processes": 1, "threads": 1, "lora": lora}
    rows = Load(9, *(Spread(10, 10) for _ in range(3)))
    for beta in (0.0, 0.04):
        settings = GrpoTraining.model_construct(**training, beta=beta)
        job = GrpoJob.model_construct(**shared, training=settings)
        parts = duration.training(QWEN, job, rows, machines.GPUS["H100"])
        assert (parts["reference"] > 0) == (beta > 0)


def test_the_demo_is_planned_for_this_cpu():
    content = plan(load(BASE, DEMO))
    assert {stage["machine"] for stage in stages(content).values()} == {"CPU"}
    assert content["text"] == "counted"
    assert misfits(content) == []


def conversation(task, number):
    row = {"instance_id": f"{task}/{number}", "image": "a.png", "width": 480, "height": 360}
    row |= {"prompt": "Which parts?", "response": "Yes.", "box_frame": "processed"}
    return row | {"task": task, "demonstrations": []}


def test_conversations_are_counted_where_they_are_and_each_experiments_own(tmp_path):
    path = tmp_path / "data/sound/plain/test.jsonl"
    write_jsonl(path, [conversation("object", n) for n in range(5)])
    reasoning = {"experiments": {"grpo": {"variant": "reasoning"}}}
    found = stages(plan(load(BASE, DEMO, reasoning), run=tmp_path))
    assert found["few_shot", "predict"]["lengths"] == str(path)
    assert found["few_shot", "predict"]["rows"] == 5
    assert found["few_shot", "predict"]["tokens"]["visual"] == {"mean": 24.0, "most": 24}
    assert found["grpo", "predict"]["lengths"] == "assumed"


def test_a_training_takes_at_most_its_rows_of_the_chosen_tasks(tmp_path):
    rows = [conversation(task, n) for n in range(700) for task in ("object", "state")]
    for protocol, variant in (("sound", "plain"), ("sound", "reasoning"), ("thesis", "reasoning")):
        write_jsonl(tmp_path / f"data/{protocol}/{variant}/train.jsonl", rows)
    content = plan(load(BASE), run=tmp_path)
    found = stages(content)
    assert found["sft", "train"]["rows"] == 1000
    assert found["thesis_grpo", "train"]["rows"] == 700  # of one task, at most 2,000


def test_bad_conversations_are_named(tmp_path):
    write_jsonl(tmp_path / "data/sound/plain/test.jsonl", [{"task": "object"}])
    with pytest.raises(UserError, match=r"test\.jsonl, line 1"):
        plan(load(BASE, DEMO), run=tmp_path)


def test_a_base_that_is_here_is_read(tmp_path):
    write_json(tmp_path / "base/model.json", {"path": str(TINY_BASE)})
    content = plan(load(BASE), run=tmp_path)
    assert content["parameters"] == 3_056_384
    assert content["text"] == "counted"


def test_the_file_follows_its_schema_and_the_text_says_the_same(tmp_path, capsys):
    out = tmp_path / "plan.json"
    assert main.main(["plan", "--base-config", str(BASE), "--out", str(out)]) == 0
    content = read_json(out)
    jsonschema.validate(content, read_json(ROOT / "workflow/schemas/plan.schema.json"))
    assert json.dumps(content) == json.dumps(plan(load(BASE)))
    said = capsys.readouterr().out
    assert said == render(content) + "\n"
    assert said.startswith(summary(content))
    assert max(map(len, said.splitlines())) <= 100
    for name in machines.ASSUMPTIONS:
        assert f"  {name} " in said


def test_a_no_ends_with_status_2_after_the_plan(capsys):
    assert main.main(["plan", "--base-config", str(BASE), "--gpu", "L4"]) == 2
    said = capsys.readouterr()
    assert "DOES NOT FIT" in said.out
    assert said.err.startswith("legor1 plan: the run does not fit")


def test_an_ablation_is_planned_once_for_all_variants_that_must_be_alike():
    overlay = read(ROOT / "workflow/configs/ablation.yaml")
    content = plan(load(BASE, overlay))
    jsonschema.validate(content, read_json(ROOT / "workflow/schemas/plan.schema.json"))
    tried = content["ablation"]
    # 23 defects and a parent, around two protocols, by three seeds for each of two methods.
    assert tried["trainings"]["asked"] == 24 * 2 * 3 * 2
    assert tried["predictions"]["asked"] == 24 * 2 * 3 * 2 + 24 * 2
    # Data: 8 defects that a plain prompt can have; SFT: budget is its own already, so images alone;
    # GRPO: five of its own.
    sft, grpo = (1 + 8 + 1) * 2, (1 + 8 + 5) * 2
    assert tried["trainings"]["distinct"] == (sft + grpo) * 3
    assert tried["rows"] == 600
    assert set(tried["seconds"]) == {"A100-80", "A40"}
    assert misfits(content) == tried["problems"] == []
    assert f"ablation: at most {(sft + grpo) * 3} trainings" in summary(content)
    alone = plan(load(BASE))
    assert "ablation" not in alone and alone["experiments"] == content["experiments"]


def test_two_ways_to_split_have_a_part_of_their_tests_in_common():
    block = {"of": ["few_shot"], "defects": ["row_split"]}
    one_way = plan(
        load(BASE, {"ablation": {**block, "around": ["sound"], "defects": ["self_demo"]}})
    )
    two_ways = plan(load(BASE, {"ablation": block}))
    assert one_way["ablation"]["rows"] == round((19136 + 10864 + 5612) / 4)
    assert two_ways["ablation"]["rows"] == pytest.approx((19136 + 10864 + 5612) / 16, abs=3)


def test_an_ablation_that_does_not_fit_is_said_so():
    settings = {"two_generations": {"grpo": {"training": {"generations": 2}}}}
    block = {"of": ["grpo"], "defects": ["two_generations"], "around": ["sound"]}
    content = plan(load(BASE, {"ablation": block | {"settings": settings}}))
    assert [problem.partition(":")[0] for problem in misfits(content)] == [
        "grpo_sound_with_two_generations_seed42"
    ]
