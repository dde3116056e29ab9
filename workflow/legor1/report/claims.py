"""When the report calls one experiment better than another: the only place that decides it.

Where the interval of the paired difference does not contain zero and its test agrees: few manuals
make short intervals, and the test then has no power. Where no paired difference is known, where
their own intervals have no point in common. All else is "no clear difference", whatever the values.
"""

from legor1.report.metrics import Metric
from legor1.report.study import Experiment, Study


def standing(study: Study, protocol: str, one: Metric, a: Experiment, b: Experiment) -> str:
    """Return how ``a`` stands beside ``b`` in a metric: ``better``, ``worse`` or ``unclear``."""
    if study.difference(protocol, one.task, one.name, b, a):
        turned = {"better": "worse", "worse": "better", "unclear": "unclear"}
        return turned[standing(study, protocol, one, b, a)]
    paired = study.difference(protocol, one.task, one.name, a, b)
    first, second = (study.score(protocol, one.task, one.name, e) for e in (a, b))
    if paired:
        clear = (paired.low > 0 or paired.high < 0) and paired.p < round(1 - study.confidence, 9)
        gain = paired.value if clear else 0.0
    else:
        gain = first.value - second.value if first and second and first.apart(second) else 0.0
    if not gain:
        return "unclear"
    return "better" if (gain > 0) == one.higher else "worse"


def marks(study: Study, protocol: str, one: Metric) -> dict[str, str]:
    """Return experiment → ``best`` for the best, if it is clearly so, else ``ahead``.

    Equal best scores are ahead together. There is no mark where all are equal, or only one.
    """
    scored = [(e, study.score(protocol, one.task, one.name, e)) for e in study.experiments]
    worth = {e: one.worth(score) for e, score in scored if score}
    best = [e for e in worth if worth[e] == max(worth.values())]
    if len(worth) < 2 or len(best) == len(worth):
        return {}
    others = [e for e in worth if e not in best]
    alone = len(best) == 1 and all(
        standing(study, protocol, one, best[0], e) == "better" for e in others
    )
    return {e.name: "best" if alone else "ahead" for e in best}
