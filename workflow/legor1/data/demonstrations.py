"""Which solved examples stand before a query.

Without defects they come from the train rows, never show the query's own step, and no answer
influences their choice. They are of the query's manual where it is trained on; else another manual
lends its own, settled by rendezvous hashing, so that a new manual changes only the conversations
that then draw on it. Each of these rules has a defect that breaks it.
"""

from collections.abc import Callable, Collection, Iterable
from functools import cached_property, partial
from operator import itemgetter
from typing import TypeVar

from legor1.core.seeding import pick, rank
from legor1.data.instances import Record
from legor1.data.lego_arta.steps import true_name
from legor1.published.defects import task_by_substring
from legor1.tasks.discovery import TASKS, of_kind

Banned = Callable[[Record], bool]
K = TypeVar("K")
ATTEMPTS = 8  # of a draw, before all that may be drawn is listed


class Demonstrations:
    """Chooses what is shown before a query.

    ``rows`` may be shown, as ``asked`` returns them; each choice is by ``seed`` and query alone.
    """

    def __init__(self, rows: Iterable[Record], seed: int, defects: Collection[str]) -> None:
        self._seed, self._defects = seed, defects
        # With all rows to draw from, every query has its own manual's, as it had in the thesis.
        self._lends = "test_demos_in_training" not in defects
        self._manuals: dict[str, dict[str, Manual]] = {task: {} for task in TASKS}
        self._mixed = "state_source_shortcut" in defects
        for row in rows:
            manuals = self._manuals[row["asked_as"]]
            if row["manual"] not in manuals:
                manuals[row["manual"]] = Manual(self._mixed or not row["step_class"])
            manuals[row["manual"]].rows.append(row)
        for task in of_kind("yes_no"):
            known = self._manuals[task].items()
            self._manuals[task] = {name: manual for name, manual in known if all(manual.sides)}
        self._lenders: dict[tuple[str, str], str | None] = {}

    def choose(self, query: Record, variant: str) -> list[Record]:
        """Return the rows to show: two for a state, else one; none if there are none.

        The variant matters only with ``self_demo``, which spares the plain one.
        """
        manuals, own = self._manuals[query["asked_as"]], query["manual"]
        shown = self._of(manuals[own], query, variant) if own in manuals else []
        if shown or not self._lends:
            return shown
        lender = self._lender(query["asked_as"], own)
        return self._of(manuals[lender], query, variant) if lender else []

    def _of(self, manual: "Manual", query: Record, variant: str) -> list[Record]:
        banned = self._banned(query, variant)
        kind = TASKS[query["asked_as"]].answer
        if kind == "yes_no":
            return self._states(manual, query, banned)
        if kind == "words" and not self._lends:
            previous = (query["step_num"] or 0) - 1
            return self._draw(manual.by_number.get(previous, []), query, "", banned)
        alike = []
        if "oracle_demo_count" in self._defects and kind == "boxes":
            alike = self._draw(manual.by_boxes.get(boxes(query), []), query, "", banned)
        return alike or self._draw(manual.rows, query, "", banned)

    def _banned(self, query: Record, variant: str) -> Banned:
        if "self_demo" not in self._defects:
            manual, step = query["manual"], query["step"]
            return lambda row: row["step"] == step and row["manual"] == manual
        own = query["instance_id"] if variant == "plain" else None
        return lambda row: row["instance_id"] == own

    def _states(self, manual: "Manual", query: Record, banned: Banned) -> list[Record]:
        """Return a true and a falsified state: of one step, or in the thesis where it has both."""
        trues, twins = manual.sides
        true = self._draw(trues, query, " true", banned)
        if not true:
            return []
        falsified = self._draw(twins.get(true[0]["step"], []), query, " falsified", banned)
        if manual.mixed:
            falsified = falsified or self._draw(manual.falsified, query, " falsified", banned)
            return [*true, *falsified] if falsified else []
        pair = [*true, *falsified]
        last = pick(2, self._seed, "demonstration order", query["instance_id"])
        return pair[::-1] if last else pair

    def _draw(self, rows: list[Record], query: Record, what: str, banned: Banned) -> list[Record]:
        """Return one of ``rows`` that is not banned, all equally likely; none if there is none."""
        purpose, name = f"demonstration{what}", query["instance_id"]
        for attempt in range(min(ATTEMPTS, len(rows))):
            row = rows[pick(len(rows), self._seed, purpose, f"{name}\x1f{attempt}")]
            if not banned(row):
                return [row]
        rest = [row for row in rows if not banned(row)]
        return [rest[pick(len(rest), self._seed, purpose, name)]] if rest else []

    def _lender(self, task: str, manual: str) -> str | None:
        if (task, manual) not in self._lenders:
            others = self._manuals[task].keys() - {manual}
            nearest = partial(rank, self._seed, f"{task}\x1f{manual}")
            self._lenders[task, manual] = min(others, key=nearest, default=None)
        return self._lenders[task, manual]


class Manual:
    """What one manual has to show; ``mixed`` lets states of other steps and sizes be paired.

    In data without steps any two are of other steps.
    """

    def __init__(self, mixed: bool) -> None:
        self.rows: list[Record] = []
        self.mixed = mixed

    @cached_property
    def falsified(self) -> list[Record]:
        """The falsified states."""
        return [row for row in self.rows if row["falsified"]]

    @cached_property
    def by_boxes(self) -> dict[int, list[Record]]:
        """Number of boxes in the answer → the rows with so many."""
        return _grouped(self.rows, boxes)

    @cached_property
    def by_number(self) -> dict[int, list[Record]]:
        """Step number → the rows of that step."""
        return _grouped(self.rows, lambda row: row["step_num"])

    @cached_property
    def sides(self) -> tuple[list[Record], dict[str, list[Record]]]:
        """The true states, and step → its falsified ones.

        Unless ``mixed``, only steps with both sides are there, and of these only pairs of one image
        size where there are such: nothing but the bricks is to tell the two sides apart.
        """
        trues = [row for row in self.rows if not row["falsified"]]
        twins = _grouped(self.falsified, lambda row: row["step"])
        if self.mixed:
            return trues, twins
        paired = [row for row in trues if row["step"] in twins]
        size = itemgetter("image_width", "image_height")
        alike = {
            row["step"]: [twin for twin in twins[row["step"]] if size(twin) == size(row)]
            for row in paired
        }
        chosen = [row for row in paired if alike[row["step"]]]
        return (chosen, alike) if chosen else (paired, twins)


def asked(row: Record, defects: Collection[str]) -> Record:
    """Return ``row`` with the task that it is asked as, and the step that it shows."""
    task = task_by_substring(row["response"]) if "task_by_substring" in defects else row["task"]
    return row | {"asked_as": task, "step": step_name(row, task)}


def step_name(row: Record, task: str) -> str:
    """Return what two rows of a task and manual share if and only if they show the same step."""
    if TASKS[task].answer == "yes_no" or row["step_num"] is None:
        return true_name(row["image"].rpartition("/images/")[2])
    return f"{row['step_class']} {row['step_num']}"


def boxes(row: Record) -> int:
    """Return how many boxes the row's answer has."""
    return row["response"].count('"bbox_2d": [')


def _grouped(rows: Iterable[Record], key: Callable[[Record], K]) -> dict[K, list[Record]]:
    groups: dict[K, list[Record]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
