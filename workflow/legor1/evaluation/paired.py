"""How two experiments differ that answered the same instances: by how much, and how surely.

Both sides are resampled together, by manual. An experiment may have several training seeds: its
metrics are those of the mean over them, and every replicate draws seeds with replacement too, so
that the interval of a difference covers the luck of the trainings as well.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from legor1.core.seeding import generator
from legor1.evaluation import resampling
from legor1.evaluation.resampling import holm, swapped_p
from legor1.evaluation.scoring import Bootstrap, finite
from legor1.tasks.task import Row, Scoring

Names = tuple[str, str, str]  # what the first side, the second and their difference are called


def differences(
    name: str,
    scoring: Scoring,
    sides: Sequence[np.ndarray],
    settings: Bootstrap,
    called: Names,
    *,
    rounds: int | None = None,
    same_trainings: bool = False,
) -> dict[str, Row]:
    """Return metric → its value of both ``sides``, the difference, its interval, and its p.

    ``p_holm`` is None: see ``adjust``.

    Args:
        name: of the comparison; with the seed of ``settings`` it decides what is drawn.
        sides: two of (seeds, clusters, k): the features summed over each manual.
        called: the keys of the first three numbers.
        rounds: of the test; as many as replicates if None.
        same_trainings: whether the seeds of both sides are the same trainings, drawn together.
    """
    first, second = (side.mean(axis=0) for side in sides)
    before, after = (scoring.values(side.sum(axis=0)) for side in (first, second))
    drawn = _drawn(name, scoring, sides, settings, same_trainings)
    rng = generator(settings.seed, "swap", name)
    p = swapped_p(first, second, scoring.values, rounds or settings.replicates, rng)
    values = np.column_stack([before, after, after - before])
    return {
        metric: dict(zip(called, map(finite, values[i]), strict=True))
        | settings.interval(drawn[:, i])
        | {"p": finite(p[i]), "p_holm": None}
        for i, metric in enumerate(scoring.metrics)
    }


def adjust(tests: Iterable[tuple[bool, Row]]) -> None:
    """Give each of ``tests`` the p that holds for all of its family: the main metrics, or others.

    A test is whether it is of a main metric, and its entry as in ``differences``.
    """
    tests = list(tests)
    for main in (True, False):
        family = [test for is_main, test in tests if is_main == main]
        adjusted = holm([math.nan if test["p"] is None else test["p"] for test in family])
        for test, p in zip(family, adjusted, strict=True):
            test["p_holm"] = finite(p)


def _drawn(
    name: str,
    scoring: Scoring,
    sides: Sequence[np.ndarray],
    settings: Bootstrap,
    same_trainings: bool,
) -> np.ndarray:
    """Return (replicates, m): the differences where manuals and seeds are drawn again."""
    rng = generator(settings.seed, "bootstrap", name)
    side_by_side = np.concatenate([*sides[0], *sides[1]], axis=1)
    drawn = resampling.resampled(side_by_side, settings.replicates, rng)
    drawn = drawn.reshape(len(drawn), len(sides[0]) + len(sides[1]), sides[0].shape[-1])
    values = []
    for i, sums in enumerate(np.split(drawn, [len(sides[0])], axis=1)):
        rng = generator(settings.seed, "seeds", f"{name} {0 if same_trainings else i}")
        seeds = len(sides[i])
        shares = rng.multinomial(seeds, np.full(seeds, 1 / seeds), len(drawn)) / seeds
        values.append(scoring.values(np.einsum("rs,rsk->rk", shares, sums)))
    return values[1] - values[0]
