"""The published protocol's defects of data preparation, each under a name that is a switch.

A protocol of data preparation is the set of defects that are on: all in ``thesis``, none in
``sound``, any other set by name. docs/defects.md says what each does, and names those of training
and evaluation, which are settings of an experiment or of the scoring.
"""

from collections.abc import Collection, Iterable, Mapping

from legor1.core.errors import UserError, no_such

SWITCHES = (
    "self_demo", "test_demos_in_training", "row_split", "oracle_demo_count",
    "state_label_in_prompt", "state_source_shortcut", "json_for_prose", "literal_question",
    "missing_directive", "task_by_substring", "frame_mismatch",
)  # fmt: skip
OBJECT_FORMATS = ("json", "tags")  # how boxes are written, which is no defect
PROTOCOLS: dict[str, frozenset[str]] = {"thesis": frozenset(SWITCHES), "sound": frozenset()}


def active(protocol: str, switches: Mapping[str, bool] | None = None) -> frozenset[str]:
    """Return which defects of data preparation are on; a UserError names what is not known.

    ``switches`` are exceptions to one of ``PROTOCOLS``: defect → whether it is on.
    """
    switches = switches or {}
    known("protocol", [protocol], PROTOCOLS)
    known("defect of data preparation", switches, SWITCHES)
    on = PROTOCOLS[protocol] - {name for name, wanted in switches.items() if not wanted}
    return on | {name for name, wanted in switches.items() if wanted}


def chosen(defects: str | Collection[str]) -> frozenset[str]:
    """Return the defects that a protocol of the config names: ``none``, ``all`` or a list.

    A list that begins with ``all`` takes names away: ``[all, -self_demo]``. A UserError names what
    is not known.
    """
    if isinstance(defects, str):
        known("set of defects", [defects], ("none", "all"))
        return active("thesis" if defects == "all" else "sound")
    first, *rest = *defects, ""
    if first == "all":
        taken = {name.removeprefix("-"): not name.startswith("-") for name in rest if name}
        return active("thesis", taken)
    return active("sound", dict.fromkeys(defects, True))


def options(defects: str | Collection[str]) -> list[str]:
    """Return how ``legor1 split`` and ``convert`` are told of ``defects`` (as ``chosen``)."""
    on = chosen(defects)
    if on == PROTOCOLS["thesis"]:
        return ["--protocol", "thesis"]
    switches = [word for name in SWITCHES if name in on for word in ("--switch", f"{name}=on")]
    return ["--protocol", "sound", *switches]


def task_by_substring(response: str) -> str:
    """Return the task that a row was sorted into by its answer: the defect of that name."""
    words = response.lower()
    if "yes." in words or "no." in words:
        return "state"
    return "object" if "bbox_2d" in words else "grounding"


def known(kind: str, names: Iterable[str], all_names: Collection[str]) -> None:
    """Raise a UserError that says of the first name that is none of its kind which is nearest."""
    for name in names:
        if name not in all_names:
            remedy = f"use some of {', '.join(sorted(all_names))}"
            raise UserError(no_such(f"{kind} {name!r}", name, all_names, remedy))
