"""When the report calls one experiment better than another: the only place that decides it.

Where the interval of the paired difference does not contain zero and its test agrees: few manuals
make short intervals, and the test then has no power. The p of the test is adjusted for all pairs
and tasks: of the main metrics as one family, and of the secondary ones as another. All else, what
was not compared included, is "no clear difference", whatever the values.
"""

from legor1.report.study import Experiment, Study
from legor1.tasks.task import Shown


def standing(study: Study, protocol: str, one: Shown, a: Experiment, b: Experiment) -> str:
    """Return how ``a`` stands beside ``b`` in a metric: ``better``, ``worse`` or ``unclear``."""
    if study.difference(protocol, one.task, one.name, b, a):
        turned = {"better": "worse", "worse": "better", "unclear": "unclear"}
        return turned[standing(study, protocol, one, b, a)]
    paired = study.difference(protocol, one.task, one.name, a, b)
    if paired is None or paired.low <= 0 <= paired.high:
        return "unclear"
    if not paired.p < round(1 - study.confidence, 9):  # NaN is no evidence either
        return "unclear"
    return "better" if (paired.value > 0) == one.higher else "worse"


def marks(study: Study, protocol: str, one: Shown) -> dict[str, str]:
    """Return experiment → ``best`` for the best, if it is clearly so, else ``ahead``.

    Equal best scores are ahead together. There is no mark where all are equal, or only one.
    """
    scored = [(e, study.score(protocol, one.task, one.name, e)) for e in study.experiments]
    worth = {e: one.worth(score.value) for e, score in scored if score}
    best = [e for e in worth if worth[e] == max(worth.values())]
    if len(worth) < 2 or len(best) == len(worth):
        return {}
    others = [e for e in worth if e not in best]
    alone = len(best) == 1 and all(
        standing(study, protocol, one, best[0], e) == "better" for e in others
    )
    return {e.name: "best" if alone else "ahead" for e in best}
