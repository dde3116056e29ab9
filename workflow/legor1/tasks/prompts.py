"""From an instance to what the model is asked: the prompt strings of the study, and chat messages.

The directives are experimental constants of the thesis; changing one changes the experiment.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from typing import Any

from legor1.core.boxes import PixelBudget, to_shown

TASKS = ("object", "grounding", "state")

DIRECTIVES = {
    "object": (
        'Providing the positions in the format: [{"bbox_2d": [x1, y1, x2, y2], "label": '
        '"1 object name"}]x1 and y1 for the top-left corner. x2 and y2 for the bottom-right corner.'
    ),
    "grounding": "",
    "state": "Just tell me Yes or No.",
}
# Of the first iteration, where boxes are tags in [0, 100].
OBJECT_TAGS = (
    "Providing the positions in the format: <p>object</p> {<Xleft><Ytop><Xright><Ybottom>} with X "
    "and Y coordinates normalized to [0,100].<Xleft> and <Ytop> for the top-left corner. <Xright> "
    "and <Ybottom> for the bottom-right corner."
)
REASONING = (
    "First output the thinking process in <think> </think> tags and then output the final answer "
    "in <answer> </answer> tags."
)
AS_JSON = "Output the final answer in JSON format."
PLACEHOLDER = "{Question}"  # in the template that ends in REASONING the question was to stand here
VARIANTS = ("plain", "reasoning")


def query(
    task: str,
    prompt: str,
    previous_instruction: str = "",
    variant: str = "plain",
    *,
    defects: Collection[str] = (),
    object_format: str = "json",
) -> str:
    """Return the text that stands beside the image in the query.

    A demonstration's is that of the plain variant, in both: there is no thinking to show, so it
    asks for none.

    Args:
        task: one of ``TASKS``.
        prompt: the dataset's own question.
        previous_instruction: what the step before said; given for grounding and state.
        variant: ``plain``, or ``reasoning`` to ask for thinking before the answer.
        defects: those of ``protocols.SWITCHES`` that are on.
        object_format: one of ``protocols.OBJECT_FORMATS``: how boxes are to be written.
    """
    before, after = _around(task, variant, frozenset(defects), object_format)
    text = f"{before}{prompt}{after}"
    if previous_instruction and task != "object":
        return f"Previous instruction: {previous_instruction}\n{text}"
    return text


def chat_messages(
    conversation: dict[str, Any], budget: PixelBudget, *, demonstrations: bool
) -> list[dict[str, Any]]:
    """Return the chat turns up to the query, boxes in the conversation's ``box_frame``.

    Args:
        conversation: a row of ``train.jsonl`` or ``test.jsonl`` (boxes in original pixels; beside
            them the file's own numbers, where those are shown).
        budget: decides the processed size of each image.
        demonstrations: whether the row's demonstrations are shown before the query.

    Returns:
        Turns whose content is a list of parts; an image part carries the image's path in the
        dataset tree under ``image``.
    """
    turns = []
    for shown in conversation["demonstrations"] if demonstrations else []:
        text = answer(shown, budget, conversation["box_frame"])
        turns.append(_user(shown))
        turns.append({"role": "assistant", "content": [{"type": "text", "text": text}]})
    return [*turns, _user(conversation)]


def image_paths(turns: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the paths of the images that chat turns show, in order."""
    parts = [part for turn in turns for part in turn["content"]]
    return [part["image"] for part in parts if part["type"] == "image"]


def answer(turn: dict[str, Any], budget: PixelBudget, frame: str | None = None) -> str:
    """Return the true answer to a query or demonstration as the model should say it.

    Args:
        turn: with ``response``, boxes in original pixels; or ``file_response``, shown as it stands.
        budget: decides the image's processed size.
        frame: the ``box_frame`` of the conversation that a demonstration stands in.
    """
    if "file_response" in turn:
        return turn["file_response"]
    size = turn["width"], turn["height"]
    return to_shown(turn["response"], size, budget, frame or turn["box_frame"])


def _user(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "role": "user",
        "content": [
            {"type": "image", "image": row["image"]},
            {"type": "text", "text": row["prompt"]},
        ],
    }


@cache
def _around(
    task: str, variant: str, defects: frozenset[str], object_format: str
) -> tuple[str, str]:
    """Return what stands before and after the dataset's question."""
    tags = task == "object" and object_format == "tags"
    directive = OBJECT_TAGS if tags else DIRECTIVES[task]
    if variant == "plain":
        return "", _spaced(directive)
    if "missing_directive" in defects:
        directive = ""
    prose = task == "grounding" and "json_for_prose" not in defects
    wants_json = not (tags or prose or task == "state")
    thinking = REASONING + (_spaced(AS_JSON) if wants_json else "")
    if "literal_question" in defects:
        return f"{PLACEHOLDER} {thinking} ", _spaced(directive)
    return "", f"{_spaced(directive)} {thinking}"


def _spaced(text: str) -> str:
    return f" {text}" if text else ""
