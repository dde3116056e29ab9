"""From an instance to what the model is asked: the prompt strings of the study, and chat messages.

The directives are experimental constants of the thesis; changing one changes the experiment.
"""

from typing import Any

from legor1.boxes import PixelBudget, to_processed

TASKS = ("object", "grounding", "state")

DIRECTIVES = {
    "object": (
        'Providing the positions in the format: [{"bbox_2d": [x1, y1, x2, y2], "label": '
        '"1 object name"}]x1 and y1 for the top-left corner. x2 and y2 for the bottom-right corner.'
    ),
    "grounding": "",
    "state": "Just tell me Yes or No.",
}
# The thesis left a literal "{Question}" before this, and asked for JSON where the truth is prose.
REASONING = (
    "First output the thinking process in <think> </think> tags and then output the final answer "
    "in <answer> </answer> tags."
)
VARIANTS = ("plain", "reasoning")


def query(task: str, prompt: str, previous_instruction: str = "", variant: str = "plain") -> str:
    """Return the text that stands beside the image in the query.

    Args:
        task: one of ``TASKS``.
        prompt: the dataset's own question.
        previous_instruction: what the step before said; given for grounding and state.
        variant: ``plain``, or ``reasoning`` to ask for thinking before the answer.
    """
    lines = []
    if previous_instruction and task != "object":
        lines.append(f"Previous instruction: {previous_instruction}")
    parts = [prompt, DIRECTIVES[task], REASONING if variant == "reasoning" else ""]
    lines.append(" ".join(part for part in parts if part))
    return "\n".join(lines)


def chat_messages(
    conversation: dict[str, Any], budget: PixelBudget, *, demonstrations: bool
) -> list[dict[str, Any]]:
    """Return the chat turns up to the query, boxes in the frame that the model sees.

    Args:
        conversation: a row of ``conversations.jsonl`` (boxes in original pixels).
        budget: decides the processed size of each image, and so the frame of its boxes.
        demonstrations: whether the row's demonstrations are shown before the query.

    Returns:
        Turns whose content is a list of parts; an image part carries the image's path in the
        dataset tree under ``image``.
    """
    turns = []
    for shown in conversation["demonstrations"] if demonstrations else []:
        turns.append(_user(shown))
        turns.append(
            {"role": "assistant", "content": [{"type": "text", "text": answer(shown, budget)}]}
        )
    return [*turns, _user(conversation)]


def answer(row: dict[str, Any], budget: PixelBudget) -> str:
    """Return the row's true answer as the model should say it: boxes in processed pixels."""
    return to_processed(row["response"], (row["width"], row["height"]), budget)


def _user(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [
            {"type": "image", "image": row["image"]},
            {"type": "text", "text": row["prompt"]},
        ],
    }
