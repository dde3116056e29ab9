"""GRPO with prompts computed once for their group, against the stock trainer, in float32."""

import pytest
import torch
from grpo_cases import batch, dataset, numbers, prompts, trainer
from inference_cases import HOSTILE, base_with
from plain_mask import plain_mask
from tiny_families import save_tiny
from trainer_cases import lora_weights, run_ranks
from trl import GRPOTrainer

from legor1.models.registry import DEFAULT
from legor1.training.fast.group_trainer import SharedPromptGRPOTrainer, until_end

stock_scores = GRPOTrainer._get_per_token_logps_and_entropies
stock_rollout = GRPOTrainer._generate_single_turn

# Rows: which prompt and how many tokens of completion. Even prompts show one image, odd ones two,
# all of unequal size; the prompts' lengths differ, so that there is padding on the left.
CASES = {
    "one group": [(0, 9), (0, 4), (0, 1), (0, 9)],
    "two images": [(1, 3), (1, 7)],
    "several groups": [(0, 5), (0, 2), (1, 6), (1, 3), (2, 1), (2, 4)],
    "incomplete groups": [(0, 5), (1, 4), (1, 2), (1, 6), (2, 3)],
    "a group that was torn": [(0, 5), (1, 4), (0, 2)],
    "longer than the prompt": [(0, 90), (0, 70), (2, 80)],
    "a completion masked out": [(0, 5), (0, 0), (1, 0), (1, 3)],
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One trainer for all scores and rollouts; the stock methods run on it too."""
    return trainer(True, tmp_path_factory.mktemp("shared"))


def gradients(trainer, scores, inputs):
    """Return log-probabilities, entropies, and gradients of LoRA for some loss of them."""
    trainer.model.zero_grad()
    logps, entropies, _ = scores(trainer, trainer.model, **inputs, compute_entropy=True)
    weights = torch.randn(logps.shape, generator=torch.Generator().manual_seed(1))
    scored = inputs["attention_mask"][:, -logps.size(1) :]
    (logps * weights * scored).sum().backward()
    grads = {n: p.grad for n, p in trainer.model.named_parameters() if p.requires_grad}
    return logps * scored, entropies * scored, grads


def assert_same(trainer, inputs):
    ours = gradients(trainer, type(trainer)._get_per_token_logps_and_entropies, inputs)
    theirs = gradients(trainer, stock_scores, inputs)
    for found, expected in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
    for name, expected in theirs[2].items():
        assert expected.norm() > 0, name
        assert (ours[2][name] - expected).norm() <= 1e-5 * expected.norm(), name


@pytest.mark.parametrize("rows", CASES.values(), ids=CASES)
def test_scores_and_gradients_are_those_of_the_stock_trainer(shared, rows):
    assert_same(shared, batch(shared, rows))


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """The same of a tiny Qwen3-VL."""
    folder = tmp_path_factory.mktemp("newer")
    return trainer(True, folder, base=save_tiny(folder / "base", "qwen3_vl"))


@pytest.mark.parametrize("rows", CASES.values(), ids=CASES)
def test_qwen3_vl_gets_the_stock_scores_and_gradients(newer, rows):
    assert_same(newer, batch(newer, rows))


def test_scores_of_prompts_without_images(shared):
    rows = [(0, 5), (0, 3), (1, 4)]
    inputs = batch(shared, rows, data=dataset(2, images=(0,)))
    assert "pixel_values" not in inputs
    assert_same(shared, inputs)


def test_scores_in_parts_are_the_same(shared):
    inputs = batch(shared, CASES["several groups"])
    with torch.no_grad():
        whole, _, _ = shared._get_per_token_logps_and_entropies(shared.model, **inputs)
        parts, entropies, _ = shared._get_per_token_logps_and_entropies(
            shared.model, **inputs, batch_size=4
        )
    assert entropies is None
    torch.testing.assert_close(parts, whole, rtol=0, atol=2e-5)


def test_scores_do_not_depend_on_what_was_computed_before(shared):
    """The model remembers the rotary positions of its last prompt."""
    inputs = batch(shared, CASES["two images"])
    with torch.no_grad():
        first, _, _ = shared._get_per_token_logps_and_entropies(shared.model, **inputs)
        stock_scores(shared, shared.model, **batch(shared, CASES["one group"]))
        second, _, _ = shared._get_per_token_logps_and_entropies(shared.model, **inputs)
    assert torch.equal(first, second)


def test_the_plain_mask_gives_the_same_scores(shared, monkeypatch):
    """The oracle of the whole model: no attention function of our own."""
    inputs = batch(shared, CASES["several groups"])
    with torch.no_grad():
        found, _, _ = shared._get_per_token_logps_and_entropies(shared.model, **inputs)
        forward = shared.model.forward

        def plain(*args, attention_mask, **kwargs):
            groups = attention_mask.groups
            mask = plain_mask([(group.prompt, group.completions) for group in groups])
            return forward(*args, attention_mask=mask, **kwargs)

        monkeypatch.setattr(shared.model, "forward", plain)
        expected, _, _ = shared._get_per_token_logps_and_entropies(shared.model, **inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_activation_checkpointing_changes_no_gradient(shared):
    inputs = batch(shared, CASES["several groups"])
    score = SharedPromptGRPOTrainer._get_per_token_logps_and_entropies
    _, _, expected = gradients(shared, score, inputs)
    expected = {name: grad.clone() for name, grad in expected.items()}
    shared.model.gradient_checkpointing_enable({"use_reentrant": False})
    try:
        _, _, found = gradients(shared, score, inputs)
    finally:
        shared.model.gradient_checkpointing_disable()
    for name, grad in expected.items():
        torch.testing.assert_close(found[name], grad, rtol=0, atol=1e-6)


def test_a_remembered_image_is_not_encoded_again(shared):
    seen = []
    visual = shared._base(shared.model).model.visual
    handle = visual.register_forward_hook(
        lambda _, given, __: seen.append(given[0].numpy().tobytes())
    )
    shared.cache.__init__(1 << 24)
    inputs = batch(shared, CASES["several groups"])
    try:
        with torch.no_grad():
            first, _, _ = shared._get_per_token_logps_and_entropies(shared.model, **inputs)
            again, _, _ = shared._get_per_token_logps_and_entropies(shared.model, **inputs)
    finally:
        handle.remove()
    assert len(seen) == len({*seen}) > 1
    assert torch.equal(first, again)


def test_a_tower_that_trains_gets_the_stock_gradients(shared):
    bias = shared._base(shared.model).model.visual.blocks[0].attn.proj.bias
    bias.requires_grad_(True)
    try:
        assert_same(shared, batch(shared, CASES["two images"]))
    finally:
        bias.requires_grad_(False)
        bias.grad = None


def rollout(trainer, generate, rows, **generation):
    examples = prompts(rows)
    config = trainer.generation_config
    before = {name: getattr(config, name) for name in generation}
    config.update(**generation)
    try:
        inputs = trainer._tokenize_prompts(examples)
        torch.manual_seed(5)
        return generate(trainer, *inputs, 4)[0]
    finally:
        config.update(**before)


@pytest.mark.parametrize("do_sample", [False, True], ids=["greedy", "sampled"])
@pytest.mark.parametrize("rows", [[0] * 4 + [1] * 4, [1, 2, 2, 0, 2]], ids=["whole", "torn"])
def test_rollouts_are_those_of_the_stock_trainer(shared, rows, do_sample):
    generate = SharedPromptGRPOTrainer._generate_single_turn
    expected = rollout(shared, stock_rollout, rows, do_sample=do_sample)
    assert rollout(shared, generate, rows, do_sample=do_sample) == expected
    assert len(set(map(tuple, expected))) > 1


def test_rollouts_of_qwen3_vl_are_those_of_the_stock_trainer(newer):
    rows = [0] * 4 + [1] * 4
    generate = SharedPromptGRPOTrainer._generate_single_turn
    expected = rollout(newer, stock_rollout, rows, do_sample=True)
    assert rollout(newer, generate, rows, do_sample=True) == expected
    assert len(set(map(tuple, expected))) > 1


def test_a_penalty_counts_the_tokens_of_a_completions_own_prompt(shared):
    """Prompts of unlike lengths are padded, with an end token: that is nothing they said.

    A penalty below 1 favours the tokens that are there.
    """
    rows, settings = [0] * 4 + [1] * 4, {"do_sample": False, "repetition_penalty": 0.3}
    generate = SharedPromptGRPOTrainer._generate_single_turn
    alone = [rollout(shared, stock_rollout, [row], **settings)[0] for row in rows]
    assert rollout(shared, generate, rows, **settings) == alone
    assert rollout(shared, generate, rows, do_sample=False) != alone


@pytest.mark.parametrize("shares", [True, False], ids=["shared", "stock"])
def test_the_checkpoints_generation_settings_do_not_act(shared, shares, tmp_path):
    generate = SharedPromptGRPOTrainer._generate_single_turn if shares else stock_rollout
    hostile = trainer(shares, tmp_path, base=base_with(HOSTILE, tmp_path / "base"))
    assert rollout(hostile, generate, [1, 2]) == rollout(shared, generate, [1, 2])


def test_a_completion_ends_with_its_first_end_token():
    assert until_end([5, 2, 6, 2], [2]) == [5, 2]
    assert until_end([5, 6], [2, 3]) == [5, 6]
    assert until_end([3, 6], [2, 3]) == [3]


TRAININGS = {
    "two groups": {},
    "accumulation and checkpointing": {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "gradient_checkpointing": True,
        "loss_type": "dapo",
    },
    "incomplete groups": {"per_device_train_batch_size": 6, "gradient_accumulation_steps": 2},
    "two steps of each rollout": {"num_iterations": 2, "mask_truncated_completions": True},
}


def assert_same_numbers(found, expected, *, in_parts):
    assert len(expected) == 2
    # A step on an earlier step's rollout has no rewards of its own.
    assert {"loss", "grad_norm", "reward", "kl", "entropy"} <= {*expected[0]}
    # Logged as means of the means of forward passes, and other rows come together in those.
    left = {"kl", "entropy"} if in_parts else set()
    for row, stock_row in zip(found, expected, strict=True):
        assert {*row} == {*stock_row}
        compared = {name: value for name, value in stock_row.items() if name not in left}
        assert {name: row[name] for name in compared} == pytest.approx(compared, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("changes", TRAININGS.values(), ids=TRAININGS)
def test_a_training_is_that_of_the_stock_trainer(tmp_path, changes):
    """Rollouts, rewards, KL, losses, gradients, step by step, and the adapter at the end."""
    runs = []
    for shared in (False, True):
        made = trainer(shared, tmp_path, max_steps=2, **changes)
        made.train()
        runs.append((numbers(made), lora_weights(made)))
    (expected, weights), (found, ours) = runs
    assert_same_numbers(found, expected, in_parts="gradient_accumulation_steps" in changes)
    assert torch.cat([*ours.values()]).sub(torch.cat([*weights.values()])).abs().max() < 1e-4


def test_the_check_passes_on_the_first_step_and_is_done_once(shared, monkeypatch):
    inputs = batch(shared, CASES["several groups"])
    calls = []
    monkeypatch.setattr(shared, "check_due", True)
    check = shared._check
    monkeypatch.setattr(shared, "_check", lambda *a, **k: (calls.append(1), check(*a, **k)))
    for _ in range(2):
        shared._get_per_token_logps_and_entropies(shared.model, **inputs)
    assert calls == [1]
    assert shared.model.training


def test_the_check_finds_a_wrong_position(shared, monkeypatch):
    inputs = batch(shared, CASES["two images"])
    right = type(DEFAULT).prompt_positions

    def wrong(*args):
        positions, following = right(*args)
        return positions, following + 7

    monkeypatch.setattr(type(DEFAULT), "prompt_positions", wrong)
    monkeypatch.setattr(shared, "check_due", True)
    with pytest.raises(RuntimeError, match="share_prompts: false"):
        shared._get_per_token_logps_and_entropies(shared.model, **inputs)


@pytest.mark.slow
def test_two_ranks_of_zero_2_train_as_the_stock_trainer_does(tmp_path):
    expected, found = run_ranks("grpo_ranks", ("stock", "shared"), tmp_path, steps=2)
    assert_same_numbers(found, expected, in_parts=True)
