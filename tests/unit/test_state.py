import numpy as np
import pytest

from legor1.metrics.state import balanced_accuracy, confusion, f1, fpr


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
    counts = np.array([3, 2, 1, 4])
    assert f1(counts) == pytest.approx(6 / 9)
    assert fpr(counts) == pytest.approx(2 / 6)
    assert balanced_accuracy(counts) == pytest.approx((3 / 4 + 4 / 6) / 2)


def test_always_yes_at_one_true_to_three_falsified():
    counts = np.array([1, 3, 0, 0])
    assert f1(counts) == pytest.approx(0.4)
    assert (fpr(counts), balanced_accuracy(counts)) == (1, 0.5)


def test_what_has_no_denominator_is_nan():
    only_no, nothing = np.array([0, 0, 0, 5]), np.zeros(4)
    assert np.isnan([f1(only_no), f1(nothing), fpr(nothing), balanced_accuracy(nothing)]).all()
    assert np.isnan(fpr(np.array([1, 0, 1, 0])))
    assert (fpr(only_no), balanced_accuracy(only_no)) == (0, 1)


def test_many_matrices_at_once_agree_with_scikit_learn():
    from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

    rng = np.random.default_rng(0)
    true, said = rng.random((2, 20, 30)) < 0.4
    pairs = list(zip(true, said, strict=True))
    totals = np.array(
        [
            np.sum([confusion(bool(s), bool(t)) for t, s in zip(*pair, strict=True)], axis=0)
            for pair in pairs
        ]
    )
    cells = [confusion_matrix(t, s)[[1, 0, 1, 0], [1, 1, 0, 0]] for t, s in pairs]
    assert (totals == cells).all()
    assert f1(totals) == pytest.approx([f1_score(t, s) for t, s in pairs])
    assert balanced_accuracy(totals) == pytest.approx(
        [balanced_accuracy_score(t, s) for t, s in pairs]
    )
