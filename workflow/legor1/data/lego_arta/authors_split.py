"""The split that the dataset's authors give: train_test_example/{task}_{train,test}.json.

Its format is not documented. Understood are the dialogues of the dialogue files, and image paths or
names, each as a JSON array or as a stream of values; the image tells which instance is meant.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path

from legor1.core.errors import UserError
from legor1.core.files import Rejected, locate
from legor1.data.instances import Record
from legor1.data.lego_arta import dialogues, steps

FOLDER = "train_test_example"
TASKS, SIDES = ("grounding", "object", "state"), ("train", "test")


def sides(instances: Sequence[Record], tree: Path) -> tuple[dict[str, str], dict[str, int]]:
    """Return instance id → ``train`` or ``test``, and counts.

    The counts: ``rows`` in the files, how many of them were ``unmatched`` by any instance, and how
    many instances were ``unassigned``, named by no row. A true state that no row names goes with
    the images falsified from it, where these are all on one side.

    Raises:
        UserError: a file is missing or not understood, an instance is on both sides, or one side
            stays empty.
    """
    known = _by_image(instances)
    side_of: dict[str, str] = {}
    counts = {"rows": 0, "unmatched": 0}
    for task, side in product(TASKS, SIDES):
        file = f"{FOLDER}/{task}_{side}.json"
        for image in _images(Path(tree).resolve(), file):
            named = known.get((task, _key(image)), ())
            counts["rows"] += 1
            counts["unmatched"] += not named
            for name in named:
                if side_of.setdefault(name, side) != side:
                    raise UserError(
                        f"{file} names {image}, which is on the other side too. "
                        "Remedy: use the protocol 'thesis' or 'sound'."
                    )
    _add_true_states(instances, side_of)
    if set(side_of.values()) != set(SIDES):
        raise UserError(
            f"{Path(tree) / FOLDER} leaves a side without instances: of {counts['rows']} rows "
            f"{counts['unmatched']} match no instance. "
            "Remedy: check that it belongs to this tree, or use 'thesis' or 'sound'."
        )
    return side_of, counts | {"unassigned": len(instances) - len(side_of)}


def _images(root: Path, file: str) -> Iterator[str]:
    """Yield the image that each row of a file names."""
    try:
        values = list(dialogues.read_values(locate(root, file)))
    except (Rejected, OSError) as error:
        raise _unknown(root / file, str(error)) from error
    if len(values) == 1 and isinstance(values[0], list) and not _is_dialogue(values[0]):
        values = values[0]
    for position, value in enumerate(values, 1):
        try:
            yield (
                value if isinstance(value, str) else dialogues.dialogue(value, file, position).image
            )
        except Rejected as rejected:
            what = str(value) if isinstance(value, Rejected) else type(value).__name__
            keys = f" with the keys {', '.join(map(str, value))}" if isinstance(value, dict) else ""
            why = f"value {position} is {what}{keys} ({rejected})"
            raise _unknown(root / file, why) from rejected


def _is_dialogue(value: object) -> bool:
    turns = value if isinstance(value, list) else []
    return bool(turns) and all(isinstance(turn, dict) and "role" in turn for turn in turns)


def _unknown(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} is not understood: {why}. What would be: a JSON array, or a stream, of "
        "dialogues as in qwen_data/, or of image paths or names. Remedy: write it so, or use "
        "the protocol 'thesis' or 'sound'."
    )


def _by_image(instances: Iterable[Record]) -> dict[tuple[str, str], list[str]]:
    """Return (task, image path from the manual on, or a name that only one has) → instances."""
    known: dict[tuple[str, str], list[str]] = defaultdict(list)
    paths: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in instances:
        path = _key(row["image"])
        known[row["task"], path].append(row["instance_id"])
        paths[row["task"], path.rpartition("/")[2]].add(path)
    for (task, name), only in paths.items():
        if len(only) == 1:
            known[task, name] = known[task, next(iter(only))]
    return known


def _key(image: str) -> str:
    below = image.partition("lego/")[2] or image
    return steps.GLUED_FAKE.sub("_", below)


def _add_true_states(instances: Iterable[Record], side_of: dict[str, str]) -> None:
    sides: dict[str, set[str]] = defaultdict(set)  # of the images falsified from a true one
    states = [row for row in instances if row["task"] == "state"]
    for row in states:
        if row["falsified"] and row["instance_id"] in side_of:
            sides[steps.true_name(_key(row["image"]))].add(side_of[row["instance_id"]])
    for row in states:
        side = sides[_key(row["image"])]
        if not row["falsified"] and len(side) == 1:
            side_of.setdefault(row["instance_id"], *side)
