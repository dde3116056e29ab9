"""From an instance to what the model is asked: the query's text, and chat messages.

The text around a question is the task's own; the strings here are those of all tasks, and
experimental constants too.
"""

from collections.abc import Collection
from functools import cache

from legor1.core.boxes import PixelBudget, to_shown
from legor1.tasks.discovery import TASKS
from legor1.tasks.task import PREVIOUS, Row

REASONING = (
    "First output the thinking process in <think> </think> tags and then output the final answer "
    "in <answer> </answer> tags."
)
AS_JSON = "Output the final answer in JSON format."
PLACEHOLDER = "{Question}"  # in the template that ends in REASONING the question was to stand here
VARIANTS = ("plain", "reasoning")

Turn = Row  # of a chat, with ``role`` and ``content``


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
        task: a name in ``TASKS``.
        prompt: the dataset's own question.
        previous_instruction: that of the step before; only some tasks show it.
        variant: ``plain``, or ``reasoning`` to ask for thinking before the answer.
        defects: those of ``defects.SWITCHES`` that are on.
        object_format: one of ``defects.OBJECT_FORMATS``: how boxes are to be written.
    """
    before, after = _around(task, variant, frozenset(defects), object_format)
    text = f"{before}{prompt}{after}"
    if previous_instruction and TASKS[task].prompt.recalls:
        return f"{PREVIOUS}{previous_instruction}\n{text}"
    return text


def chat_messages(conversation: Row, budget: PixelBudget, *, demonstrations: bool) -> list[Turn]:
    """Return the chat turns up to the query, boxes in the conversation's ``box_frame``.

    Args:
        conversation: a row of ``train.jsonl`` or ``test.jsonl`` (boxes in original pixels; beside
            them the file's own numbers, where those are shown).

    Returns:
        Turns whose content is a list of parts; an image part carries the image's path in the
        dataset tree under ``image``.
    """
    turns: list[Turn] = []
    for shown in conversation["demonstrations"] if demonstrations else []:
        turns += [_user(shown), assistant(answer(shown, budget, conversation["box_frame"]))]
    return [*turns, _user(conversation)]


def answer(turn: Row, budget: PixelBudget, frame: str | None = None) -> str:
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


def assistant(text: str) -> Turn:
    """Return the turn in which the model says ``text``."""
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


def _user(row: Row) -> Turn:
    image, text = {"type": "image", "image": row["image"]}, {"type": "text", "text": row["prompt"]}
    return {"role": "user", "content": [image, text]}


@cache
def _around(
    task: str, variant: str, defects: frozenset[str], object_format: str
) -> tuple[str, str]:
    """Return what stands before and after the dataset's question."""
    own, kind = TASKS[task].prompt, TASKS[task].answer
    tags = own.tags if object_format == "tags" else ""
    directive = tags or own.directive
    if variant == "plain":
        return "", _spaced(directive)
    if "missing_directive" in defects:
        directive = ""
    wants_json = (kind == "words" and "json_for_prose" in defects) or (kind == "boxes" and not tags)
    thinking = REASONING + (_spaced(AS_JSON) if wants_json else "")
    if "literal_question" in defects:
        return f"{PLACEHOLDER} {thinking} ", _spaced(directive)
    return "", f"{_spaced(directive)} {thinking}"


def _spaced(text: str) -> str:
    return f" {text}" if text else ""
