"""The published protocol's other defects: of training, decoding and scoring, each a switch.

A defect of training or decoding is what it sets in an experiment, by method: the YAML file beside
this module has the published values, and a config may have others for a model of another size.
Those of the rewards are a suite each (``suites``), and those of scoring are measures
(``thesis_metrics``).
"""

from collections.abc import Collection, Mapping
from typing import Any

from legor1.core.files import beside
from legor1.published.defects import SWITCHES

Change = Mapping[str, object]  # laid over an experiment, key by key; null takes a key away

# Defect → method → what it sets, in the order in which they are laid over an experiment.
CHANGES: dict[str, dict[str, Change]] = beside(__file__)
REWARDS = ("matched_only_reward", "batch_task")  # a suite is named after those that are on
SCORING = (
    "summed_iou", "set_over_list_f1", "quote_replacement", "skipped_answers", "no_intervals",
)  # fmt: skip
DEFECTS = (*SWITCHES, *CHANGES, *SCORING)
ASKED_TO_REASON = ("json_for_prose", "literal_question", "missing_directive")  # inert elsewhere


def methods(defect: str) -> Collection[str]:
    """Return the methods whose settings a defect changes; none for one of data or scoring."""
    return CHANGES.get(defect, {})


def changed(
    experiment: Mapping[str, Any], defects: Collection[str], own: Mapping[str, Mapping[Any, Change]]
) -> dict[str, Any]:
    """Return an experiment's settings with ``defects`` on.

    ``own`` is defect → method → what it sets, in place of what was published.
    """
    method, made = experiment["method"], dict(experiment)
    for name in (name for name in CHANGES if name in defects):
        published = CHANGES[name].get(method)
        change = own.get(name, {}).get(method, published)
        if change is not None:
            made = _laid(made, change)
    suite = "_".join(name for name in REWARDS if name in defects)
    if method == "grpo" and suite and made["training"].get("suite", "sound") == "sound":
        made = _laid(made, {"training": {"suite": suite}})
    return made


def _laid(below: Mapping[str, Any], change: Change) -> dict[str, Any]:
    made = dict(below)
    for name, value in change.items():
        if isinstance(value, Mapping):
            made[name] = _laid(made.get(name) or {}, value)
        elif value is None:
            made.pop(name, None)
        else:
            made[name] = value
    return made
