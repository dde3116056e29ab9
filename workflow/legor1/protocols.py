"""The published protocol's defects, each under a name that is a switch.

A protocol of data preparation is the set of defects that are on: all in ``thesis``, none in
``sound``, any other set by name. Those of training and evaluation are settings of an experiment or
of the scoring; they are listed too, so that a report can say of each where it is switched.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from legor1.errors import UserError

Stage = Literal["prepare", "training", "evaluation"]


@dataclass(frozen=True)
class Defect:
    """One thing that is wrong with the published protocol.

    Attributes:
        stage: where it is switched: ``prepare`` by a protocol, the others by their own settings.
        group: the heading that it belongs under.
        meaning: what happens, in one sentence.
    """

    stage: Stage
    group: str
    meaning: str


DEFECTS: dict[str, Defect] = {
    "self_demo": Defect(
        "prepare", "Leakage", "A query may be its own demonstration: the answer is in the prompt."
    ),
    "test_demos_in_training": Defect(
        "prepare",
        "Leakage",
        "Demonstrations are drawn from all rows, so training prompts show test images and answers.",
    ),
    "row_split": Defect(
        "prepare",
        "Leakage",
        "The split is by row, so steps of one manual stand on both sides.",
    ),
    "oracle_demo_count": Defect(
        "prepare",
        "Leakage",
        "The demonstration is chosen to have as many boxes as the true answer.",
    ),
    "state_label_in_prompt": Defect(
        "prepare",
        "Leakage",
        "Only prompts of true states begin with the previous instruction, which tells the label.",
    ),
    "state_source_shortcut": Defect(
        "prepare",
        "Leakage",
        "True and falsified images come from different folders, and demonstrations always stand "
        "in the order Yes, No.",
    ),
    "json_for_prose": Defect(
        "prepare",
        "Prompts and formats",
        "The reasoning prompt of grounding asks for JSON, although the truth is prose.",
    ),
    "literal_question": Defect(
        "prepare",
        "Prompts and formats",
        "The placeholder {Question} is left in the reasoning prompt.",
    ),
    "missing_directive": Defect(
        "prepare",
        "Prompts and formats",
        "The reasoning query lacks the directive that its demonstration has, and demonstrations "
        "show no thinking.",
    ),
    "task_by_substring": Defect(
        "prepare",
        "Prompts and formats",
        "Rows are sorted into tasks by the words “yes.” and “no.” in their answers.",
    ),
    "frame_mismatch": Defect(
        "prepare",
        "Boxes",
        "Boxes keep the numbers of the original image, while the model sees a resized one.",
    ),
    "unequal_budget": Defect(
        "training",
        "Training",
        "SFT and GRPO differ in rows, LoRA settings and learning rate.",
    ),
    "two_generations": Defect(
        "training",
        "Training",
        "With two rollouts a prompt the advantage is plus or minus a constant, however small the "
        "gap.",
    ),
    "truncated_thinking": Defect(
        "training", "Training", "The limit on new tokens cuts answers off: their reward is 0."
    ),
    "batch_task": Defect(
        "training", "Training", "The reward's task is guessed from the first solution of a batch."
    ),
    "matched_only_reward": Defect(
        "training",
        "Training",
        "IoU is averaged over matched pairs: missing and extra boxes cost almost nothing.",
    ),
    "summed_iou": Defect(
        "evaluation", "Evaluation", "The mean IoU is the mean of sums: it can exceed 1."
    ),
    "set_over_list_f1": Defect(
        "evaluation",
        "Evaluation",
        "F1 divides sets by lists: a perfect answer with repeated words scores below 1.",
    ),
    "quote_replacement": Defect(
        "evaluation", "Evaluation", "An apostrophe makes a true answer unparsable."
    ),
    "skipped_answers": Defect(
        "evaluation", "Evaluation", "State answers without yes or no leave the denominator."
    ),
    "sampled_vs_greedy": Defect(
        "evaluation", "Evaluation", "SFT was sampled, the other models were decoded greedily."
    ),
    "no_intervals": Defect(
        "evaluation", "Evaluation", "One seed, no interval and no trivial baseline."
    ),
}
SWITCHES = tuple(name for name, defect in DEFECTS.items() if defect.stage == "prepare")
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


def _known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(
            f"there is no {kind} {unknown[0]!r}. Remedy: use one of {', '.join(sorted(known))}."
        )
