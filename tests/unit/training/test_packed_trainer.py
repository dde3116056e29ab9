"""SFT on packed examples, against the stock trainer, in float32."""

from collections import Counter

import pytest
import torch
from peft import LoraConfig
from sft_cases import dataset, numbers, trainer
from tiny_families import save_tiny
from trainer_cases import lora_weights, run_ranks
from trl import SFTTrainer

from legor1.training.fast.packed_trainer import PackedSFTTrainer
from legor1.training.sft import trainer_for

# Examples show one, two or three images of unequal size; their texts and answers differ in length.
TRAININGS = {
    "one batch a step": {},
    "accumulation": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
    "activation checkpointing": {
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
    },
    "single examples": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 3},
    "an incomplete last batch": {"per_device_train_batch_size": 4},
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The stock trainer and ours, untrained."""
    out = tmp_path_factory.mktemp("pair")
    return trainer(False, out), trainer(True, out)


def gradients(trainer, rows, items=None):
    """Return the loss of a batch of these rows, and the gradients of LoRA."""
    loader = trainer._get_dataloader(trainer.train_dataset, "Training", len(rows))
    batch = trainer.data_collator([loader.dataset[row] for row in rows])
    trainer.model.zero_grad()
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=items)
    loss.backward()
    grads = {n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.requires_grad}
    return loss, grads


def assert_same_gradients(pair, rows, **given):
    (expected, theirs), (found, ours) = (gradients(one, rows, **given) for one in pair)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    for name, grad in theirs.items():
        assert grad.norm() > 0, name
        assert (ours[name] - grad).norm() <= 1e-5 * grad.norm(), name


@pytest.mark.parametrize("rows", [[0], [0, 1, 2], [5, 3, 3, 1]], ids=str)
def test_loss_and_gradients_are_those_of_the_stock_trainer(pair, rows):
    assert_same_gradients(pair, rows)


def test_the_loss_is_divided_by_the_items_of_all_batches(pair):
    assert_same_gradients(pair, [1, 4], items=torch.tensor(123))


def test_a_tower_that_trains_gets_the_stock_gradients(pair):
    biases = [
        one._base(one.model) if hasattr(one, "_base") else one.model.get_base_model()
        for one in pair
    ]
    biases = [model.model.visual.blocks[0].attn.proj.bias for model in biases]
    for bias in biases:
        bias.requires_grad_(True)
    try:
        assert_same_gradients(pair, [0, 1, 2])
    finally:
        for bias in biases:
            bias.requires_grad_(False)
            bias.grad = None


@pytest.mark.parametrize("changes", TRAININGS.values(), ids=TRAININGS)
def test_a_training_is_that_of_the_stock_trainer(tmp_path, changes):
    """Losses, gradients, entropy, accuracy and tokens, step by step, and the adapter at the end."""
    runs = []
    for packed in (False, True):
        made = trainer(packed, tmp_path, **changes)
        made.train()
        runs.append((numbers(made), lora_weights(made)))
    (expected, weights), (found, ours) = runs
    assert_same_numbers(found, expected)
    assert torch.cat([*ours.values()]).sub(torch.cat([*weights.values()])).abs().max() < 1e-6


def assert_same_numbers(found, expected):
    assert len(expected) == 3
    for row, stock_row in zip(found, expected, strict=True):
        assert {"loss", "grad_norm", "entropy", "num_tokens"} <= {*stock_row}
        assert row == pytest.approx(stock_row, rel=1e-5, abs=1e-5)


def test_qwen3_vl_gets_the_stock_numbers(tmp_path):
    base = save_tiny(tmp_path / "base", "qwen3_vl")
    pair = [trainer(packed, tmp_path, base=base) for packed in (False, True)]
    for rows in ([0, 1, 2], [5, 3, 3, 1]):
        assert_same_gradients(pair, rows)
    for one in pair:
        one.train()
    assert_same_numbers(*map(numbers, reversed(pair)))


@pytest.mark.parametrize("images", [(0,), (1, 0, 2)], ids=str)
def test_examples_without_images(tmp_path, images):
    """One with images comes along: TRL knows vision data by its columns."""
    data = dataset(images=images)
    if images == (0,):
        data = dataset(images=(1, 0, 0)).select([1, 2, 4, 5])
    runs = []
    for packed in (False, True):
        made = trainer(packed, tmp_path, data, per_device_train_batch_size=2)
        made.train()
        runs.append(numbers(made))
    assert_same_numbers(runs[1], runs[0])


@pytest.mark.parametrize(
    "room", [{}, {"feature_bytes": 0, "patch_bytes": 0}], ids=["enough", "none"]
)
def test_an_image_is_encoded_once_where_there_is_room(tmp_path, room):
    made = trainer(True, tmp_path, max_steps=4, **room)
    encoded = Counter()
    made._base(made.model).model.visual.register_forward_hook(
        lambda _, given, __: encoded.update([given[0].numpy().tobytes()])
    )
    made.train()
    assert len(encoded) == 6  # images
    # In two epochs of two batches, the first image shows in all.
    assert max(encoded.values()) == (1 if not room else 4)


def test_the_tower_trains_nothing_by_itself(pair):
    model = pair[1].model
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained and not [name for name in trained if "visual" in name]


def test_evaluation_gives_the_stock_loss(pair):
    losses = [one.evaluate(one.train_dataset)["eval_loss"] for one in pair]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)


def test_dropout_is_drawn_in_training_alone(tmp_path):
    lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.5, target_modules=["q_proj", "up_proj"])
    made = trainer(True, tmp_path, lora=lora)
    first, again = (gradients(made, [0, 1])[0].item() for _ in range(2))
    assert first != again


def test_the_stock_trainer_is_one_setting_away_and_taken_where_it_must_be(pair, capsys):
    model = pair[1]._base(pair[1].model)
    assert trainer_for(model, {}) is PackedSFTTrainer
    assert trainer_for(model, {"pack_examples": False}) is SFTTrainer
    assert capsys.readouterr().err == ""
    text = model.config.get_text_config()
    text._attn_implementation = "eager"
    try:
        assert trainer_for(model, {}) is SFTTrainer
    finally:
        text._attn_implementation = "sdpa"
    assert "not eager" in capsys.readouterr().err


@pytest.mark.slow
def test_two_ranks_of_zero_2_train_as_the_stock_trainer_does(tmp_path):
    expected, found = run_ranks("sft_ranks", ("stock", "packed"), tmp_path, steps=3)
    assert_same_numbers(found, expected)
