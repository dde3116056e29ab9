from legor1.boxes import PixelBudget
from legor1.prompts import DIRECTIVES, REASONING, answer, chat_messages, query

BUDGET = PixelBudget(9408, 15680)
SHOWN = {
    "image": "shown.png",
    "width": 480,
    "height": 360,
    "prompt": "Which parts?",
    "response": '[{"bbox_2d": [48, 36, 240, 180], "label": "1 red 2x4 brick"}]',
}
ROW = SHOWN | {"image": "asked.png", "width": 420, "height": 420, "demonstrations": [SHOWN]}


def test_a_query_has_its_directive_and_previous_instruction():
    assert query("object", "Which parts?", "ignored") == f"Which parts? {DIRECTIVES['object']}"
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
