import numpy as np
import pytest

from legor1.tasks.metrics.binary import CELLS, balanced_accuracy, confusion, f1, fpr, mcc


def cells(counts):
    return dict(zip(CELLS, np.moveaxis(np.asarray(counts), -1, 0), strict=True))


@pytest.mark.parametrize(
    ("predicted", "true", "cells"),
    [
        (True, True, (1, 0, 0, 0)),
        (True, False, (0, 1, 0, 0)),
        (False, True, (0, 0, 1, 0)),
        (False, False, (0, 0, 0, 1)),
        (None, True, (0, 0, 1, 0)),
        (None, False, (0, 1, 0, 0)),
    ],
)
def test_confusion(predicted, true, cells):
    assert confusion(predicted, true) == cells


def test_by_hand():
    counts = cells([3, 2, 1, 4])
    assert f1(counts) == pytest.approx(6 / 9)
    assert fpr(counts) == pytest.approx(2 / 6)
    assert balanced_accuracy(counts) == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert mcc(counts) == pytest.approx((3 * 4 - 2 * 1) / (5 * 4 * 6 * 5) ** 0.5)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([2, 0, 0, 3], 1), ([0, 3, 2, 0], -1), ([1, 3, 0, 0], 0), ([0, 0, 0, 4], 0)],
)
def test_mcc_at_its_ends_and_at_chance(counts, expected):
    assert mcc(cells(counts)) == pytest.approx(expected)


def test_always_yes_at_one_true_to_three_falsified():
    counts = cells([1, 3, 0, 0])
    assert f1(counts) == pytest.approx(0.4)
    assert (fpr(counts), balanced_accuracy(counts)) == (1, 0.5)


def test_what_has_no_denominator_is_nan():
    only_no, nothing = cells([0, 0, 0, 5]), cells(np.zeros(4))
    assert np.isnan([f1(only_no), f1(nothing), fpr(nothing), balanced_accuracy(nothing)]).all()
    assert np.isnan(mcc(nothing))
    assert np.isnan(fpr(cells([1, 0, 1, 0])))
    assert (fpr(only_no), balanced_accuracy(only_no)) == (0, 1)


def test_many_matrices_at_once_agree_with_scikit_learn():
    from sklearn.metrics import (
        balanced_accuracy_score,
        confusion_matrix,
        f1_score,
        matthews_corrcoef,
    )

    rng = np.random.default_rng(0)
    true, said = rng.random((2, 20, 30)) < 0.4
    pairs = list(zip(true, said, strict=True))
    totals = np.array(
        [
            np.sum([confusion(bool(s), bool(t)) for t, s in zip(*pair, strict=True)], axis=0)
            for pair in pairs
        ]
    )
    known = [confusion_matrix(t, s)[[1, 0, 1, 0], [1, 1, 0, 0]] for t, s in pairs]
    assert (totals == known).all()
    totals = cells(totals)
    assert f1(totals) == pytest.approx([f1_score(t, s) for t, s in pairs])
    assert balanced_accuracy(totals) == pytest.approx(
        [balanced_accuracy_score(t, s) for t, s in pairs]
    )
    assert mcc(totals) == pytest.approx([matthews_corrcoef(t, s) for t, s in pairs])


def test_agrees_with_torchmetrics():
    import torch
    from torchmetrics.classification import BinaryF1Score, BinaryMatthewsCorrCoef

    true, said = np.random.default_rng(1).random((2, 200)) < 0.3
    counts = np.sum([confusion(bool(s), bool(t)) for t, s in zip(true, said, strict=True)], axis=0)
    counts = cells(counts)
    pair = torch.tensor(said).int(), torch.tensor(true).int()
    assert mcc(counts) == pytest.approx(float(BinaryMatthewsCorrCoef()(*pair)), abs=1e-6)
    assert f1(counts) == pytest.approx(float(BinaryF1Score()(*pair)), abs=1e-6)
