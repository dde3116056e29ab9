"""Private parts of libraries that are used here: they must be as in the release that is pinned.

A new release that moves one is met here first, with its name, before a training goes wrong.
"""

import ast
import inspect
from functools import cache
from pathlib import Path

import deepspeed
import pytest
import torch
from transformers import GenerationConfig, PretrainedConfig, Trainer
from transformers.generation.utils import GenerationMixin
from trl import GRPOTrainer, SFTTrainer

import legor1

PACKAGE = Path(legor1.__file__).parent
FOLDERS = ("models", "inference", "training")
# Methods that are overridden, replaced or called → the parameters that are relied on.
METHODS = {
    (SFTTrainer, "_get_dataloader"): ["self", "dataset"],
    (SFTTrainer, "compute_loss"): ["self", "model", "inputs", "return_outputs"],
    (GRPOTrainer, "_prepare_inputs"): ["self", "generation_batch"],
    (GRPOTrainer, "_generate_and_score_completions"): ["self", "inputs"],
    (GRPOTrainer, "_generate_single_turn"): [
        "self", "prompt_ids", "images", "multimodal_fields", "num_generations", "has_tool_images",
    ],
    (GRPOTrainer, "_get_per_token_logps_and_entropies"): [
        "self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size",
        "compute_entropy", "pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids",
    ],
    (Trainer, "_run_epoch"): ["self"],
}  # fmt: skip
# Attributes → whose code gives them their value.
ATTRIBUTES = {
    "_tr_loss": Trainer,
    "_total_loss_scalar": Trainer,
    "_globalstep_last_logged": Trainer,
    "_initial_global_step": Trainer,
    "_total_train_tokens": SFTTrainer,
    "_metrics": SFTTrainer,
    "_step": GRPOTrainer,
    "_buffered_inputs": GRPOTrainer,
    "_tokenizer": GRPOTrainer,
    "_eos_token_tensor": GenerationMixin,
    "_attn_implementation": PretrainedConfig,
}
BFLOAT16 = {"_is_amx_tile_supported", "_is_avx512_bf16_supported"}
OTHERS = {"__compatible_ops__", "_exit", *BFLOAT16}  # below, or Python's own


@cache
def source(owner: type) -> str:
    return "".join(inspect.getsource(kind) for kind in owner.__mro__ if kind is not object)


@pytest.mark.parametrize(("owner", "name"), METHODS)
def test_a_method_takes_what_it_is_given(owner, name):
    known = [*inspect.signature(getattr(owner, name)).parameters]
    expected = METHODS[owner, name]
    assert [parameter for parameter in known if parameter in expected] == expected


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_is_set_by_its_owner(name):
    code = source(ATTRIBUTES[name])
    assert f".{name} = " in code or f".{name}: " in code or f'"{name}"' in code


def test_deepspeeds_communication_in_shared_memory_can_be_left_out():
    assert "deepspeed_shm_comm" in deepspeed.ops.__compatible_ops__


@pytest.mark.parametrize("name", sorted(BFLOAT16))
def test_torch_says_whether_the_cpu_knows_bfloat16(name):
    assert getattr(torch.cpu, name)() in (True, False)


def test_the_end_tokens_are_no_setting_of_a_users():
    assert not hasattr(GenerationConfig(), "_eos_token_tensor")  # generate alone makes it


def test_every_private_part_that_is_used_is_listed():
    trees = [ast.parse(path.read_text()) for f in FOLDERS for path in (PACKAGE / f).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    used |= {name.name for node in nodes if isinstance(node, ast.ImportFrom) for name in node.names}
    private = {name for name in used - own if name.startswith("_")} - {"__name__", "__init__"}
    listed = {name for _, name in METHODS} | {*ATTRIBUTES} | OTHERS
    assert private - listed == set()
