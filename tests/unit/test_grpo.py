"""Which trainer an experiment gets."""

import pytest
from peft import LoraConfig
from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration
from trl import GRPOTrainer

from legor1.check import TINY_BASE
from legor1.modeling import LORA_TARGETS
from legor1.training.group_trainer import SharedPromptGRPOTrainer
from legor1.training.grpo import trainer_for


def chosen(attention="sdpa", dropout=0.0, *, quiet=False, **settings):
    config = AutoConfig.from_pretrained(TINY_BASE)
    model = Qwen2_5_VLForConditionalGeneration._from_config(config, attn_implementation=attention)
    lora = LoraConfig(target_modules=LORA_TARGETS, lora_dropout=dropout)
    return trainer_for(model, lora, settings, quiet=quiet)


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
