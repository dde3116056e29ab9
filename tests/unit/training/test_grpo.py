"""Which trainer an experiment gets."""

import pytest
from peft import LoraConfig
from trainings import recipe, write_data, write_job
from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration
from trl import GRPOTrainer

from legor1.models.registry import DEFAULT
from legor1.planning.preflight import TINY_BASE
from legor1.training import grpo
from legor1.training.fast.group_trainer import SharedPromptGRPOTrainer
from legor1.training.grpo import trainer_for
from legor1.training.job import Job


def chosen(attention="sdpa", dropout=0.0, *, quiet=False, **settings):
    config = AutoConfig.from_pretrained(TINY_BASE)
    model = Qwen2_5_VLForConditionalGeneration._from_config(config, attn_implementation=attention)
    lora = LoraConfig(target_modules=DEFAULT.lora_targets, lora_dropout=dropout)
    return trainer_for(model, lora, settings, quiet=quiet)


def test_rollouts_are_drawn_as_the_recipe_says(monkeypatch, tmp_path):
    asked = {"temperature": 0.7, "repetition_penalty": 1.3, "beta": 0.2}
    job = Job(write_job(write_data(tmp_path), tmp_path, recipe("grpo", training=asked)))
    own = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False}
    own |= {"per_device_train_batch_size": 2, "report_to": "none"}
    monkeypatch.setattr(job, "arguments", lambda: own)
    monkeypatch.setattr(job, "run", lambda trainer: None)
    given = []
    monkeypatch.setattr(grpo, "trainer_for", lambda *_, **__: lambda **all: given.append(all))
    grpo.run(job)
    assert {name: getattr(given[0]["args"], name) for name in asked} == asked


@pytest.mark.parametrize("check", [True, False])
def test_prompts_are_shared_and_the_check_is_as_asked(check, capsys):
    made = chosen(share_prompts=True, check_sharing=check)
    assert made.func is SharedPromptGRPOTrainer
    assert made.keywords == {"check": check}
    assert capsys.readouterr().err == ""


def test_the_stock_trainer_is_one_setting_away(capsys):
    assert chosen(share_prompts=False) is GRPOTrainer
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("attention", "dropout", "reason"),
    [("sdpa", 0.05, "LoRA's dropout"), ("eager", 0.0, "not eager")],
    ids=["dropout", "attention"],
)
def test_where_sharing_is_not_exact_the_stock_trainer_says_why(attention, dropout, reason, capsys):
    assert chosen(attention, dropout, share_prompts=True) is GRPOTrainer
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
    assert chosen(attention, dropout, share_prompts=True, quiet=True) is GRPOTrainer
    assert capsys.readouterr().err == ""
