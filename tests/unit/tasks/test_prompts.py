import pytest

from legor1.models.registry import DEFAULT
from legor1.published.defects import SWITCHES
from legor1.tasks.discovery import TASKS
from legor1.tasks.prompts import REASONING, answer, chat_messages, query

BUDGET = DEFAULT.budget(9408, 15680)
SHOWN = {
    "image": "shown.png",
    "width": 480,
    "height": 360,
    "prompt": "Which parts?",
    "response": '[{"bbox_2d": [48, 36, 240, 180], "label": "1 red 2x4 brick"}]',
}
ROW = SHOWN | {
    "image": "asked.png",
    "width": 420,
    "height": 420,
    "box_frame": "processed",
    "demonstrations": [SHOWN],
}
BOXES = (
    'Providing the positions in the format: [{"bbox_2d": [x1, y1, x2, y2], "label": "1 object '
    'name"}]x1 and y1 for the top-left corner. x2 and y2 for the bottom-right corner.'
)
TAGS = (
    "Providing the positions in the format: <p>object</p> {<Xleft><Ytop><Xright><Ybottom>} with X "
    "and Y coordinates normalized to [0,100].<Xleft> and <Ytop> for the top-left corner. <Xright> "
    "and <Ybottom> for the bottom-right corner."
)
THINK = (
    "First output the thinking process in <think> </think> tags and then output the final answer "
    "in <answer> </answer> tags."
)
JSON = "Output the final answer in JSON format."
BEFORE = "Previous instruction: Place it."


def test_a_query_has_its_directive_and_previous_instruction():
    assert query("object", "Which parts?", "ignored") == f"Which parts? {BOXES}"
    assert query("grounding", "What now?") == "What now?"
    assert query("state", "Done?", "Place a brick.") == (
        "Previous instruction: Place a brick.\nDone? Just tell me Yes or No."
    )


def test_the_reasoning_variant_keeps_the_directive_and_leaves_no_placeholder():
    text = query("state", "Done?", variant="reasoning")
    assert text == f"Done? Just tell me Yes or No. {REASONING}"
    assert "{" not in text


def test_messages_show_the_demonstration_with_its_box_in_its_own_frame():
    turns = chat_messages(ROW, BUDGET, demonstrations=True)
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert [turns[i]["content"][0]["image"] for i in (0, 2)] == ["shown.png", "asked.png"]
    assert "[14, 8, 70, 42]" in turns[1]["content"][0]["text"]
    assert len(chat_messages(ROW, BUDGET, demonstrations=False)) == 1


def test_the_answer_is_in_the_frame_of_the_query():
    # 420 x 420 becomes 112 x 112
    assert "[13, 10, 64, 48]" in answer(ROW, BUDGET)
    assert "[48, 36, 240, 180]" in answer(ROW | {"box_frame": "original"}, BUDGET)
    assert (
        answer(ROW | {"box_frame": "percent"}, BUDGET) == "<p>1 red 2x4 brick</p> {<11><9><57><43>}"
    )


@pytest.mark.parametrize(
    ("task", "variant", "expected"),
    [
        ("object", "plain", f"Q? {BOXES}"),
        ("grounding", "plain", f"{BEFORE}\nQ?"),
        ("state", "plain", f"{BEFORE}\nQ? Just tell me Yes or No."),
        ("object", "reasoning", f"{{Question}} {THINK} {JSON} Q?"),
        ("grounding", "reasoning", f"{BEFORE}\n{{Question}} {THINK} {JSON} Q?"),
        ("state", "reasoning", f"{BEFORE}\n{{Question}} {THINK} Q?"),
    ],
)
def test_the_thesis_asks_to_the_letter(task, variant, expected):
    assert query(task, "Q?", "Place it.", variant, defects=SWITCHES) == expected


@pytest.mark.parametrize(
    ("defect", "task", "expected"),
    [
        ("json_for_prose", "grounding", f"Q? {THINK} {JSON}"),
        ("json_for_prose", "object", f"Q? {BOXES} {THINK} {JSON}"),
        ("json_for_prose", "state", f"Q? Just tell me Yes or No. {THINK}"),
        ("literal_question", "state", f"{{Question}} {THINK} Q? Just tell me Yes or No."),
        ("missing_directive", "state", f"Q? {THINK}"),
        ("missing_directive", "object", f"Q? {THINK} {JSON}"),
        ("self_demo", "grounding", f"Q? {THINK}"),
    ],
)
def test_each_defect_of_the_strings_alone(defect, task, expected):
    assert query(task, "Q?", variant="reasoning", defects=[defect]) == expected


def test_the_first_iteration_asks_for_tags():
    assert query("object", "Q?", object_format="tags") == f"Q? {TAGS}"
    assert TASKS["object"].prompt.tags == TAGS
    assert query("grounding", "Q?", object_format="tags") == "Q?"
    thinking = query("object", "Q?", variant="reasoning", object_format="tags")
    assert thinking == f"Q? {TAGS} {THINK}"
