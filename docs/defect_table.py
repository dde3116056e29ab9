"""Write docs/defects.md: the defects of the published protocol, what each does, and its switch."""

from pathlib import Path

PAGE = Path(__file__).with_name("defects.md")
HEAD = """\
# Defects of the published protocol

Written by `docs/defect_table.py`. Each defect has a name, so that it can be switched on alone and
its effect measured ([experiment.md](experiment.md#another-protocol));
[concepts.md](concepts.md#protocols) says what `sound` and `thesis` are. The report of a run says
which are switched on in its data, and which the audit found in the prompts as they were written.
An [ablation](ablation.md) switches any of them alone, by its name, and says what it moves.
"""
DEFECTS = {  # stage → name → what happens, in one sentence
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
        "small_sft_images": "SFT sees smaller images than the others, in training and in "
        "inference.",
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
SWITCHES = {  # of the others: evaluation.protocols
    "unequal_budget": "experiments.*: rows_per_task, tasks, lora, learning_rate",
    "two_generations": "experiments.*.training.generations",
    "truncated_thinking": "experiments.*.training.max_new_tokens",
    "batch_task": "experiments.*.training.suite",
    "matched_only_reward": "experiments.*.training.suite",
    "small_sft_images": "experiments.*.pixel_budget",
    "sampled_vs_greedy": "experiments.*.inference.sampling",
}
TITLES = {
    "prepare": "Data preparation",
    "training": "Training",
    "evaluation": "Evaluation",
}


def page() -> str:
    """Return the text of the page."""
    blocks = [HEAD]
    for stage, title in TITLES.items():
        rows = [
            f"| `{name}` | {meaning} | `{switch(name, stage)}` |"
            for name, meaning in DEFECTS[stage].items()
        ]
        heading = [f"## {title}", "", "| defect | what happens | switch |", "| --- | --- | --- |"]
        blocks.append("\n".join([*heading, *rows, ""]))
    return "\n".join(blocks)


def switch(name: str, stage: str) -> str:
    """Return the key of the config that switches a defect."""
    if stage == "prepare":
        return "protocols.*.defects"
    return SWITCHES.get(name, "evaluation.protocols")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
