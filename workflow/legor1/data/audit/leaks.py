"""What demonstrations and the split give away: test rows, the query itself, the right count."""

from collections import Counter, defaultdict

from legor1.data.audit.finding import Finding, share
from legor1.data.audit.material import Material, Record, step_of
from legor1.data.demonstrations import boxes
from legor1.tasks.discovery import of_kind
from legor1.tasks.prompts import VARIANTS


def findings(material: Material) -> list[Finding]:
    """Return the findings on the split and on the demonstrations of both variants."""
    found = [_test_manuals(material)]
    for variant in VARIANTS:
        found += [
            _test_rows(material, variant),
            _test_images(material, variant),
            *_own(material, variant),
            _count(material, variant),
            _order(material, variant),
        ]
    return found


def _test_manuals(material: Material) -> Finding:
    trained = {material.rows[name]["manual"] for name in material.split["train"]}
    manuals = [material.rows[name]["manual"] for name in material.split["test"]]
    measured = "test rows whose manual is trained on"
    return share("row_split", None, measured, [m in trained for m in manuals], manuals)


def _test_rows(material: Material, variant: str) -> Finding:
    tested = set(material.split["test"])
    rows = material.conversations[variant]["train"]
    flags = [any(one["instance_id"] in tested for one in row["demonstrations"]) for row in rows]
    measured = "training prompts with a test row among their demonstrations"
    return share("test_demos_in_training", variant, measured, flags, _manuals(rows))


def _test_images(material: Material, variant: str) -> Finding:
    tested, rows = material.images("test"), material.conversations[variant]["train"]
    flags = [material.content(row["image"]) in tested for row in rows]
    measured = "training queries about an image that is tested on, in any task"
    return share("row_split", variant, measured, flags, _manuals(rows))


def _own(material: Material, variant: str) -> list[Finding]:
    """Return whether queries have their own image, answer or step among their demonstrations."""
    every = [row for row in material.every(variant) if row["demonstrations"]]
    states = [row for row in every if row["task"] in of_kind("yes_no")]
    objects = [row for row in every if row["task"] in of_kind("boxes")]

    def image(row: Record) -> bool:
        own = material.content(row["image"])
        return any(material.content(one["image"]) == own for one in row["demonstrations"])

    def answer(row: Record) -> bool:
        own = material.rows[row["instance_id"]]["response"]
        shown = [material.rows[one["instance_id"]] for one in row["demonstrations"]]
        return any(one["response"] == own for one in shown)

    def step(row: Record) -> bool:
        own = step_of(row["image"])
        shown = [one["image"] for one in row["demonstrations"] if one["image"] != row["image"]]
        return any(step_of(one) == own for one in shown)

    cases = (
        ("queries that show their own image with its answer", every, image),
        ("object queries that show their own answer", objects, answer),
        ("state queries that show the other side of their own step", states, step),
    )
    return [
        share("self_demo", variant, measured, [flag(row) for row in rows], _manuals(rows))
        for measured, rows, flag in cases
    ]


def _count(material: Material, variant: str) -> Finding:
    """Return how much oftener than a blind draw a demonstration has the right number of boxes."""
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for row in material.rows.values():
        if row["task"] in of_kind("boxes"):
            counts[row["manual"]][boxes(row)] += 1
    excess, manuals = [], []
    for row in material.every(variant, *of_kind("boxes")):
        query = material.rows[row["instance_id"]]
        for shown in (material.rows[one["instance_id"]] for one in row["demonstrations"]):
            if shown["task"] != row["task"] or shown is query:
                continue
            others, own = counts[shown["manual"]], shown["manual"] == query["manual"]
            alike = others[boxes(query)] - own
            excess.append((boxes(shown) == boxes(query)) - alike / (others.total() - own))
            manuals.append(row["manual"])
    measured = "demonstrations with as many boxes as the true answer, beyond those of a blind draw"
    return share("oracle_demo_count", variant, measured, excess, manuals, chance=0.0)


def _order(material: Material, variant: str) -> Finding:
    rows = [
        row
        for row in material.every(variant, *of_kind("yes_no"))
        if len(row["demonstrations"]) == 2
    ]
    first = [
        not material.rows[row["demonstrations"][0]["instance_id"]]["falsified"] for row in rows
    ]
    measured = "state prompts whose first demonstration is the true one"
    return share("state_source_shortcut", variant, measured, first, _manuals(rows), chance=0.5)


def _manuals(rows: list[Record]) -> list[str]:
    return [row["manual"] for row in rows]
