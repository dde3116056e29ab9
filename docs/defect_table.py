"""Write docs/defects.md, the defects of the published protocol, from the package's own list."""

from pathlib import Path

from legor1.published.defects import DEFECTS, Stage

PAGE = Path(__file__).with_name("defects.md")
HEAD = """\
# Defects of the published protocol

Written by `docs/defect_table.py` from `workflow/legor1/published/defects.py`. Each defect has a
name, so that it can be switched on alone and its effect measured
([experiment.md](experiment.md#another-protocol)); [concepts.md](concepts.md#protocols) says what
`sound` and `thesis` are. The report of a run says which are switched on in its data, and which the
audit found in the prompts as they were written.
"""
SWITCHES = {  # of the others: evaluation.protocols
    "unequal_budget": "experiments.*: rows_per_task, tasks, lora, learning_rate",
    "two_generations": "experiments.*.training.generations",
    "truncated_thinking": "experiments.*.training.max_new_tokens",
    "batch_task": "experiments.*.training.suite",
    "matched_only_reward": "experiments.*.training.suite",
    "sampled_vs_greedy": "experiments.*.inference.sampling",
}
TITLES: dict[Stage, str] = {
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


def switch(name: str, stage: Stage) -> str:
    """Return the key of the config that switches a defect."""
    if stage == "prepare":
        return "protocols.*.defects"
    return SWITCHES.get(name, "evaluation.protocols")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
