"""The same rows in one optimiser step give the same update, however the step is split."""

import pytest
import torch
from split_ranks import adapter, make
from trainer_cases import run_ranks

ALONE = {"4x1": (4, 1), "2x2": (2, 2), "1x4": (1, 4)}  # batch × accumulation
TOLERANCE = 1e-5  # rounding; averaging the means of forward passes moves an adapter by percents
QUICK = ["sft-packed", "dapo-shared"]
SLOW = ["sft-stock", "dapo-stock"]
SLOW += [f"{loss}-{how}" for loss in ("grpo", "dr_grpo") for how in ("shared", "stock")]
UNEQUAL = ["sft_as_published-packed", "sft_as_published-stock", "bnpo-stock"]


def with_slow(quick, slow):
    return [*quick, *(pytest.param(kind, marks=pytest.mark.slow) for kind in slow)]


def apart(one, other) -> float:
    """Return how far an adapter lies from another, as a share of its size."""
    return ((one - other).norm() / one.norm()).item()


def trained(kind, folder, batch, accumulation):
    made = make(kind, folder, batch, accumulation)
    made.train()
    return torch.tensor(adapter(made))


@pytest.mark.parametrize("kind", with_slow(QUICK, SLOW))
def test_a_step_is_the_same_however_it_is_split(tmp_path, kind):
    whole, *others = (trained(kind, tmp_path, *split) for split in ALONE.values())
    assert [apart(whole, other) < TOLERANCE for other in others] == [True, True]


@pytest.mark.parametrize("kind", with_slow(UNEQUAL[:1], UNEQUAL[1:]))
def test_a_mean_of_each_forward_pass_is_not(tmp_path, kind):
    """So it must be asked for in SFT, and is refused in GRPO where a step has several."""
    whole, split = (trained(kind, tmp_path, *ALONE[name]) for name in ("4x1", "1x4"))
    assert apart(whole, split) > 10 * TOLERANCE


@pytest.mark.slow
def test_two_processes_take_the_step_of_one(tmp_path):
    kinds = ("sft-packed", "sft-stock", "dapo-shared", "grpo-stock", "dr_grpo-shared")
    ranks = run_ranks("split_ranks", kinds, tmp_path, steps=2)
    for kind, found in zip(kinds, ranks, strict=True):
        assert apart(trained(kind, tmp_path, 4, 1), torch.tensor(found)) < TOLERANCE
