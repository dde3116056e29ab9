"""What a reward pays to policies that know nothing, and to answers that are almost right.

A policy that is trained by a reward finds whatever pays. So each of ``PROBES`` answers the same
conversations; what it earns is set against what the true answers earn, and against the most that
such an answer deserves. Whatever earns clearly more is a hole that training will find.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from legor1.core.boxes import to_percent
from legor1.core.errors import UserError
from legor1.core.files import read_jsonl
from legor1.core.images import open_image
from legor1.core.seeding import generator, rank
from legor1.evaluation import resampling, suites
from legor1.evaluation.suites import SUITES
from legor1.tasks.baselines import REQUIRED
from legor1.tasks.discovery import TASKS
from legor1.tasks.parsing import Detection, parse_objects, parse_state
from legor1.tasks.rewards import Reward, Suite
from legor1.tasks.task import Row, Task

FORM = "format"  # the reward that form alone is to earn
MARGIN = 0.05  # of what the true answers earn; a probe may earn so much more than it deserves
REPLICATES, CONFIDENCE = 2000, 0.95
ANY = ("boxes", "words", "yes_no", "number")

Answer = Callable[[Row], str | None]  # None: the row has no such answer
Rewards = dict[str, float | None]


@dataclass(frozen=True)
class Probe:
    """A policy: what it answers, made from all rows of the task, and what that deserves."""

    make: Callable[[list[Row]], Answer]
    most: float | Callable[[Row], float]  # as a share of what the true answer earns
    kinds: tuple[str, ...] = ANY  # of the tasks that it answers


def _says(answer: Answer) -> Callable[[list[Row]], Answer]:
    """Return the policy that needs to see no other row."""
    return lambda _: answer


def _always(text: str) -> Probe:
    """Return the policy that gives one answer: it deserves what it is right about."""

    def right(row: Row) -> float:
        return float(parse_state(row["response"]) == parse_state(text))

    return Probe(_says(lambda _: text), right, ("yes_no",))


def _objects(row: Row) -> list[Detection]:
    return parse_objects(row["response"]) or []


def _list(objects: Iterable[Detection]) -> str:
    items = [{"bbox_2d": [round(x) for x in o.box], "label": o.label} for o in objects]
    return json.dumps(items, ensure_ascii=False)


def _copied(row: Row) -> str | None:
    shown = row["demonstrations"]
    return shown[-1]["response"] if shown else None


def _of_another(rows: list[Row]) -> Answer:
    first = {row["manual"]: row["response"] for row in rows}  # manual → one of its answers
    return lambda row: next((text for m, text in first.items() if m != row["manual"]), None)


def _whole_image(rows: list[Row]) -> Answer:
    labels = Counter(item.label for row in rows for item in _objects(row))
    (label, _), *_ = labels.most_common(1) or [("", 0)]
    return lambda row: _list([Detection((0, 0, row["width"], row["height"]), label)])


def _thousand_boxes(row: Row) -> str:
    wide, tall = row["width"] / 40, row["height"] / 25
    corners = ((x * wide, y * tall) for y in range(25) for x in range(40))
    return _list(Detection((x, y, x + wide, y + tall), "brick") for x, y in corners)


def _in_a_corner(row: Row) -> str:
    return _list(Detection((0, 0, 9, 9), item.label) for item in _objects(row))


def _one_left_out(row: Row) -> str | None:
    objects = _objects(row)
    return _list(objects[:-1]) if len(objects) > 1 else None


def _frequent_words(rows: list[Row]) -> Answer:
    words = Counter(word for row in rows for word in row["response"].split())
    text = " ".join(word for word, _ in words.most_common(30))
    return lambda _: text


GUESSED = ("boxes", "words", "number")  # where a guess can be partly right
PROBES: dict[str, Probe] = {
    "nothing": Probe(_says(lambda _: ""), 0.0),
    "the prompt repeated": Probe(_says(lambda row: row["prompt"]), 0.25, GUESSED),
    # A guess may be right, so these are here to be read, and are never too much.
    "the demonstration's answer": Probe(_says(_copied), 1.0, GUESSED),
    "the answer to another query": Probe(_of_another, 1.0, GUESSED),
    "always yes": _always("Yes."),
    "always no": _always("No."),
    "no box": Probe(_says(lambda _: "[]"), lambda row: float(not _objects(row)), ("boxes",)),
    "the whole image": Probe(_whole_image, 0.25, ("boxes",)),
    "a thousand boxes": Probe(_says(_thousand_boxes), 0.25, ("boxes",)),
    "the right labels in a corner": Probe(_says(_in_a_corner), 0.5, ("boxes",)),
    # At least half of what is missing or too much is to cost.
    "one box left out": Probe(
        _says(_one_left_out), lambda row: 1 - 0.5 / len(_objects(row)), ("boxes",)
    ),
    "every box twice": Probe(_says(lambda row: _list(2 * _objects(row))), 0.75, ("boxes",)),
    "the most frequent words": Probe(_frequent_words, 0.5, ("words",)),  # any two texts share some
}


def _probes(task: Task) -> dict[str, Probe]:
    """Return the probes of a task: those of its kind, and its baselines that cost nothing."""
    chosen = {name: probe for name, probe in PROBES.items() if task.answer in probe.kinds}
    if task.answer in GUESSED:
        chosen |= {name: Probe(make, 1.0) for name, make in task.baselines.items()}
    return chosen


def probe(
    conversations: Path,
    name: str,
    own: Iterable[str] = (),
    *,
    rows: int = 300,
    seed: int = 42,
    tree: Path | None = None,
) -> Row:
    """Return what each reward of the suite ``name``, and of one's ``own``, pays to each probe.

    Args:
        conversations: train.jsonl or test.jsonl, of the variant that the suite is for.
        rows: at most so many of each task are answered, chosen by the ``seed``.
        tree: where the images lie, if a reward asks for them.

    Returns:
        ``probes``: for each ``reward``, ``task`` and ``probe`` how many answers there were (``n``),
        the ``share`` that they earned of what the true answers earn, the ``most`` that they
        deserve, the interval (``low``, ``high``) of the excess over that, manuals resampled, and
        whether it ``pays_too_much``: the interval lies above ``MARGIN``.

    Raises:
        UserError: a conversation is not as it should be, or the true answers earn nothing.
    """
    suite = SUITES[name]
    functions = suite.rewards | {suites.label(path): suites.load(path) for path in own}
    known = read_jsonl(conversations, (*REQUIRED, "demonstrations"))
    probes: list[Row] = []
    for task in TASKS.values():
        asked = [row for row in known if row["task"] == task.name]
        asked = sorted(asked, key=lambda row: rank(seed, "probe", row["instance_id"]))[:rows]
        asked = [row | ({"image": str(tree / row["image"])} if tree else {}) for row in asked]
        truth = [_earned(suite, functions, row, row["response"]) for row in asked]
        for label, policy in _probes(task).items() if asked else ():
            answer = policy.make(asked)
            given = [
                (row, full, _earned(suite, functions, row, text))
                for row, full in zip(asked, truth, strict=True)
                if (text := answer(row)) is not None
            ]
            probes += _judged({"task": task.name, "probe": label}, policy, given, seed)
    if not probes:
        raise UserError(
            f"{conversations}: the true answers earn nothing by any reward of {name}. Remedy: give "
            "the conversations of the variant that it is for; thesis wants reasoning."
        )
    return {"schema_version": 1, "suite": name, "margin": MARGIN, "probes": probes}


def _earned(suite: Suite, functions: Mapping[str, Reward], row: Row, text: str) -> Rewards:
    completion, solution = text, row["response"]
    if suite.percent:
        size = row["width"], row["height"]
        completion, solution = to_percent(completion, size), to_percent(solution, size)
    if row.get("variant") == "reasoning":
        if not completion.startswith("<answer>"):
            completion = f"<answer>{completion}</answer>"
        completion = f"<think>\n</think>\n{completion}"
    try:
        return paid(suite, functions, row, completion, suite.solution(solution))
    except ValueError as error:
        raise UserError(f"{row['instance_id']}: {error}. Remedy: mend the row.") from error


def paid(
    suite: Suite, functions: Mapping[str, Reward], row: Row, completion: str, solution: str
) -> Rewards:
    """Return what each of ``functions`` pays for a completion, by name.

    A ValueError says that the row lacks what one of them asks for, or is of another task.
    """
    task = suite.infer_task(solution) if suite.infer_task else row["task"]
    sample = row | {"completion": completion, "solution": solution, "task": task}
    wanted = {name for function in functions.values() for name in suites.wanted(function)}
    if missing := sorted(wanted - sample.keys()):
        raise ValueError(f"it lacks {', '.join(missing)}, which a reward asks for")
    if "image" in wanted:
        sample["image"] = open_image(Path(row["image"]))
    return {name: suites.call(reward, sample) for name, reward in functions.items()}


def _judged(
    facts: Row, policy: Probe, given: list[tuple[Row, Rewards, Rewards]], seed: int
) -> Iterable[Row]:
    """Yield what each reward paid for a probe's answers, of the rewards that know the task.

    Of each answer ``given`` has the row, what the true answer earns, and what this one earns.
    """
    for reward in given[0][2] if given else ():
        manuals, sums = [], []
        for row, truth, earned in given:
            if (gained := earned[reward]) is not None and (full := truth[reward]) is not None:
                deserved = policy.most(row) if callable(policy.most) else policy.most
                most = 1.0 if reward == FORM else deserved
                manuals.append(row["manual"])
                sums.append([gained, full, most * full])
        clusters = resampling.cluster_sums(np.array(sums).reshape(-1, 3), manuals)
        gained, full, deserved = clusters.sum(axis=0)
        if full <= 0:
            continue
        rng = generator(seed, "probe", f"{facts['task']} {facts['probe']}")
        drawn = resampling.resampled(clusters, REPLICATES, rng)
        excess = (drawn[:, 0] - drawn[:, 2]) / np.where(drawn[:, 1] > 0, drawn[:, 1], np.nan)
        low, high = resampling.percentile(excess, CONFIDENCE)
        yield {
            "reward": reward,
            **facts,
            "n": len(sums),
            "share": float(gained / full),
            "most": float(deserved / full),
            "low": low,
            "high": high,
            "pays_too_much": bool(low > MARGIN),
        }
