"""What the split, the demonstrations and the words of a prompt give away.

Test rows and images that are trained on, the query's own answer, the right count; placeholders,
another task's directive, boxes in another frame.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from operator import itemgetter

from legor1.data.audit.evidence import Finding, Material, share, step_of
from legor1.data.demonstrations import boxes
from legor1.data.fingerprints import Lookalikes
from legor1.data.instances import Record
from legor1.tasks import prompts
from legor1.tasks.discovery import TASKS, of_kind

_DIRECTIVES = {
    name: tuple(filter(None, (task.prompt.directive, task.prompt.tags)))
    for name, task in TASKS.items()
    if task.prompt.directive
}


def findings(material: Material) -> list[Finding]:
    """Return the findings on the split, the demonstrations and the texts of both variants."""
    trained = {material.rows[name]["manual"] for name in material.split["train"]}
    tested = [material.rows[name] for name in material.split["test"]]
    measured = "test rows whose manual is trained on"
    made = [share("row_split", None, measured, tested, lambda row: row["manual"] in trained)]
    for variant in prompts.VARIANTS:
        made += _of_the_split(material, variant)
        made += _of_the_query(material, variant)
        made += [_right_count(material, variant), _first_true(material, variant)]
    return [*made, *_of_the_texts(material)]


def duplicates(material: Material) -> list[Finding]:
    """Return the shares of test rows whose image has a copy, or nearly one, on the train side."""
    tested = [material.rows[name] for name in material.split["test"]] if material.prints else []
    trained = {material.rows[name]["image"] for name in material.split["train"]}
    contents = {material.content(image) for image in trained}
    near = Lookalikes(material.prints[image][1] for image in (trained if tested else ()))
    copied = "test rows whose image's bytes are trained on"
    similar = "test rows whose picture looks like one trained on"
    return [
        share("row_split", None, measured, tested, flag)
        for measured, flag in (
            (copied, lambda row: material.content(row["image"]) in contents),
            (similar, lambda row: bool(near.of(material.prints[row["image"]][1]))),
        )
    ]


def _of_the_split(material: Material, variant: str) -> Iterator[Finding]:
    tested = set(material.split["test"])
    images = {material.content(material.rows[name]["image"]) for name in tested}
    rows = material.conversations[variant]["train"]

    def shows_tested(row: Record) -> bool:
        return any(shown["instance_id"] in tested for shown in row["demonstrations"])

    def is_about_tested(row: Record) -> bool:
        return material.content(row["image"]) in images

    shown = "training prompts with a test row among their demonstrations"
    asked = "training queries about an image that is tested on, in any task"
    yield share("test_demos_in_training", variant, shown, rows, shows_tested)
    yield share("row_split", variant, asked, rows, is_about_tested)


def _of_the_query(material: Material, variant: str) -> Iterator[Finding]:
    """Yield whether queries have their own image, answer or step among their demonstrations."""
    every = [row for row in material.every(variant) if row["demonstrations"]]
    states = [row for row in every if row["task"] in of_kind("yes_no")]
    objects = [row for row in every if row["task"] in of_kind("boxes")]

    def image(row: Record) -> bool:
        own = material.content(row["image"])
        return any(material.content(shown["image"]) == own for shown in row["demonstrations"])

    def answer(row: Record) -> bool:
        own = material.rows[row["instance_id"]]["response"]
        return any(shown["response"] == own for shown in material.shown(row))

    def step(row: Record) -> bool:
        own = step_of(row["image"])
        others = {shown["image"] for shown in row["demonstrations"]} - {row["image"]}
        return own in map(step_of, others)

    for measured, rows, flag in (
        ("queries that show their own image with its answer", every, image),
        ("object queries that show their own answer", objects, answer),
        ("state queries that show the other side of their own step", states, step),
    ):
        yield share("self_demo", variant, measured, rows, flag)


def _right_count(material: Material, variant: str) -> Finding:
    """Return how much more often than by chance a demonstration has the right number of boxes."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for row in material.rows.values():
        if row["task"] in of_kind("boxes"):
            counts[row["manual"]][boxes(row)] += 1
    cases = []
    for row in material.every(variant, *of_kind("boxes")):
        query = material.rows[row["instance_id"]]
        for shown in material.shown(row):
            if shown["task"] != row["task"] or shown is query:
                continue
            others, own = counts[shown["manual"]], shown["manual"] == query["manual"]
            alike = others[boxes(query)] - own
            excess = (boxes(shown) == boxes(query)) - alike / (others.total() - own)
            cases.append({"manual": row["manual"], "excess": excess})
    measured = "demonstrations with as many boxes as the true answer, beyond those of a blind draw"
    return share("oracle_demo_count", variant, measured, cases, itemgetter("excess"), chance=0.0)


def _first_true(material: Material, variant: str) -> Finding:
    states = material.every(variant, *of_kind("yes_no"))
    return share(
        "state_source_shortcut",
        variant,
        "state prompts whose first demonstration is the true one",
        [row for row in states if len(row["demonstrations"]) == 2],
        lambda row: not material.shown(row)[0]["falsified"],
        chance=0.5,
    )


def _of_the_texts(material: Material) -> Iterator[Finding]:
    asked = material.every("reasoning")
    prose = [row for row in asked if row["task"] in of_kind("words")]
    directed = [row for row in asked if row["task"] in _DIRECTIVES]
    literal = "prompts with the placeholder {Question}"
    as_json = "grounding prompts that ask for JSON"
    missing = "object and state prompts without their directive"
    for defect, measured, rows, flag in (
        ("literal_question", literal, asked, lambda row: prompts.PLACEHOLDER in row["prompt"]),
        ("json_for_prose", as_json, prose, lambda row: prompts.AS_JSON in row["prompt"]),
        ("missing_directive", missing, directed, _lacks_directive),
    ):
        yield share(defect, "reasoning", measured, rows, flag)
    for variant in prompts.VARIANTS:
        rows, objects = material.every(variant), material.every(variant, *of_kind("boxes"))
        wrong = "prompts with the directive of another task"
        unseen = "object prompts whose boxes are not in the pixels of the image that is seen"
        yield share("task_by_substring", variant, wrong, rows, _has_wrong_directive)
        yield share("frame_mismatch", variant, unseen, objects, _is_unseen)


def _lacks_directive(row: Record) -> bool:
    return not any(text in row["prompt"] for text in _DIRECTIVES[row["task"]])


def _has_wrong_directive(row: Record) -> bool:
    others = [texts for task, texts in _DIRECTIVES.items() if task != row["task"]]
    return any(text in row["prompt"] for texts in others for text in texts)


def _is_unseen(row: Record) -> bool:
    return row["box_frame"] in ("original", "percent_json")  # not of the image as it is seen
