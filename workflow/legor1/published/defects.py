"""The published protocol's defects, each under a name that is a switch.

A protocol of data preparation is the set of defects that are on: all in ``thesis``, none in
``sound``, any other set by name. Those of training and evaluation are settings of an experiment or
of the scoring; they are listed too, so that a report can say of each where it is switched.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from legor1.core.errors import UserError, nearest

Stage = Literal["prepare", "training", "evaluation"]


# Where it is switched (``prepare`` by a protocol, others by their own settings) → name → what
# happens, in one sentence.
DEFECTS: dict[Stage, dict[str, str]] = {
    "prepare": {
        "self_demo": "A query may be its own demonstration: the answer is in the prompt.",
        "test_demos_in_training": "Demonstrations are drawn from all rows, so training prompts "
        "show test images and answers.",
        "row_split": "The split is by row, so steps of one manual stand on both sides.",
        "oracle_demo_count": "The demonstration is chosen to have as many boxes as the true "
        "answer.",
        "state_label_in_prompt": "Only prompts of true states begin with the previous instruction, "
        "which tells the label.",
        "state_source_shortcut": "True and falsified images come from different folders, and "
        "demonstrations always stand in the order Yes, No.",
        "json_for_prose": "The reasoning prompt of grounding asks for JSON, although the truth is "
        "prose.",
        "literal_question": "The placeholder {Question} is left in the reasoning prompt.",
        "missing_directive": "The reasoning query lacks the directive that its demonstration has, "
        "and demonstrations show no thinking.",
        "task_by_substring": "Rows are sorted into tasks by the words “yes.” and “no.” in their "
        "answers.",
        "frame_mismatch": "Boxes keep the numbers of the dataset's file, while the model sees a "
        "resized image.",
    },
    "training": {
        "unequal_budget": "SFT and GRPO differ in rows, LoRA settings and learning rate.",
        "two_generations": "With two rollouts a prompt the advantage is plus or minus a constant, "
        "however small the gap.",
        "truncated_thinking": "The limit on new tokens cuts answers off: their reward is 0.",
        "batch_task": "The reward's task is guessed from the first solution of a batch.",
        "matched_only_reward": "IoU is averaged over matched pairs: missing and extra boxes cost "
        "almost nothing.",
    },
    "evaluation": {
        "summed_iou": "The mean IoU is the mean of sums: it can exceed 1.",
        "set_over_list_f1": "F1 divides sets by lists: a perfect answer with repeated words scores "
        "below 1.",
        "quote_replacement": "An apostrophe makes a true answer unparsable.",
        "skipped_answers": "State answers without yes or no leave the denominator.",
        "sampled_vs_greedy": "SFT was sampled; the others were decoded greedily, with a repetition "
        "penalty.",
        "no_intervals": "One seed, no interval and no trivial baseline.",
    },
}
SWITCHES = tuple(DEFECTS["prepare"])
OBJECT_FORMATS = ("json", "tags")  # how boxes are written, which is no defect
PROTOCOLS: dict[str, frozenset[str]] = {"thesis": frozenset(SWITCHES), "sound": frozenset()}


def active(protocol: str, switches: Mapping[str, bool] | None = None) -> frozenset[str]:
    """Return which defects of data preparation are on.

    Args:
        protocol: one of ``PROTOCOLS``.
        switches: exceptions to it, defect → whether it is on.

    Raises:
        UserError: there is no such protocol or switch.
    """
    switches = switches or {}
    _known("protocol", [protocol], PROTOCOLS)
    _known("defect of data preparation", switches, SWITCHES)
    on = PROTOCOLS[protocol] - {name for name, wanted in switches.items() if not wanted}
    return on | {name for name, wanted in switches.items() if wanted}


def chosen(defects: str | Collection[str]) -> frozenset[str]:
    """Return the defects that a protocol of the config names: ``none``, ``all`` or a list.

    Raises:
        UserError: there is no such defect of data preparation.
    """
    if isinstance(defects, str):
        _known("set of defects", [defects], ("none", "all"))
        return active("thesis" if defects == "all" else "sound")
    return active("sound", dict.fromkeys(defects, True))


def options(defects: str | Collection[str]) -> list[str]:
    """Return how ``legor1 split`` and ``convert`` are told of ``defects`` (as ``chosen``)."""
    on = chosen(defects)
    if on == PROTOCOLS["thesis"]:
        return ["--protocol", "thesis"]
    switches = [word for name in SWITCHES if name in on for word in ("--switch", f"{name}=on")]
    return ["--protocol", "sound", *switches]


def task_by_substring(response: str) -> str:
    """Return the task that a row was sorted into by its answer: the defect of that name."""
    words = response.lower()
    if "yes." in words or "no." in words:
        return "state"
    return "object" if "bbox_2d" in words else "grounding"


def _known(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(
            f"there is no {kind} {unknown[0]!r}. Did you mean {nearest(unknown[0], known)}? "
            f"Remedy: use one of {', '.join(sorted(known))}."
        )
