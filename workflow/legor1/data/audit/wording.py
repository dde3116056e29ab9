"""What prompts say that they should not: placeholders, the wrong form, the wrong frame."""

from legor1.data.audit.finding import Finding, share
from legor1.data.audit.material import Material, Record
from legor1.tasks import prompts
from legor1.tasks.discovery import TASKS, of_kind
from legor1.tasks.prompts import VARIANTS

_DIRECTIVES = {
    name: tuple(filter(None, (task.prompt.directive, task.prompt.tags)))
    for name, task in TASKS.items()
    if task.prompt.directive
}


def findings(material: Material) -> list[Finding]:
    """Return the findings on the strings of the prompts."""
    asked = material.every("reasoning")
    thinking = [
        ("literal_question", asked, _has_placeholder, "prompts with the placeholder {Question}"),
        (
            "json_for_prose",
            [row for row in asked if row["task"] in of_kind("words")],
            lambda row: prompts.AS_JSON in row["prompt"],
            "grounding prompts that ask for JSON",
        ),
        (
            "missing_directive",
            [row for row in asked if row["task"] in _DIRECTIVES],
            lambda row: not any(text in row["prompt"] for text in _DIRECTIVES[row["task"]]),
            "object and state prompts without their directive",
        ),
    ]
    found = [_share(defect, "reasoning", *rest) for defect, *rest in thinking]
    for variant in VARIANTS:
        rows, objects = material.every(variant), material.every(variant, *of_kind("boxes"))
        wrong = "prompts with the directive of another task"
        unseen = "object prompts whose boxes are not in the pixels of the image that is seen"
        found += [
            _share("task_by_substring", variant, rows, _has_wrong_directive, wrong),
            _share("frame_mismatch", variant, objects, _is_unseen, unseen),
        ]
    return found


def _share(defect, variant, rows, flag, measured) -> Finding:
    flags = [flag(row) for row in rows]
    return share(defect, variant, measured, flags, [row["manual"] for row in rows])


def _has_placeholder(row: Record) -> bool:
    return prompts.PLACEHOLDER in row["prompt"]


def _has_wrong_directive(row: Record) -> bool:
    others = [texts for task, texts in _DIRECTIVES.items() if task != row["task"]]
    return any(text in row["prompt"] for texts in others for text in texts)


def _is_unseen(row: Record) -> bool:
    return row["box_frame"] in ("original", "percent_json")
