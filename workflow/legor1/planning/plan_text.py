"""A plan as text: a table of stages, memory by part, the assumptions, and one line in all."""

import textwrap
from typing import Any

from legor1.planning.machines import GIB
from legor1.planning.plan import misfits

Stage = dict[str, Any]
VISIBLE = 0.005 * GIB  # smaller parts would read 0.00


def render(plan: dict[str, Any]) -> str:
    """Return the plan as text."""
    text = {"estimated": "estimated from its words", "counted": "counted by the base's tokenizer"}
    head = f"run {plan['run']}: {plan['base']}, {plan['parameters']:,} parameters"
    blocks = [head, f"text is {text[plan['text']]}"]
    for name, experiment in plan["experiments"].items():
        blocks += [_stage(f"{name} {stage['stage']}", stage) for stage in experiment["stages"]]
    blocks += [_assumptions(plan), summary(plan)]
    return "\n\n".join(blocks)


def summary(plan: dict[str, Any]) -> str:
    """Return one line, hours by machine, and one more for each stage that does not fit."""
    hours: dict[str, float] = {}
    for stage in (one for each in plan["experiments"].values() for one in each["stages"]):
        spent = sum(stage["seconds"].values()) * stage["machines"]
        hours[stage["machine"]] = hours.get(stage["machine"], 0.0) + spent
    total = ", ".join(f"{_time(seconds)} of {name}" for name, seconds in hours.items())
    unfit = misfits(plan)
    verdict = "everything fits" if not unfit else "NO, it does not fit:"
    return "\n  - ".join([f"Plan: {total}; {verdict}", *unfit])


def _stage(name: str, stage: Stage) -> str:
    """Return a stage's lines: tokens, memory of the fullest moment, time."""
    several = f"{stage['machines']} x " if stage["machines"] > 1 else ""
    verdict = "fits" if stage["fits"] else "DOES NOT FIT"
    steps = f", {stage['steps']:,} steps" if "steps" in stage else ""
    lengths = ", ".join(
        f"{kind} {spread['mean']:,.0f} (at most {spread['most']:,})"
        for kind, spread in stage["tokens"].items()
    )
    spent = _time(sum(stage["seconds"].values()))
    full = stage["fullest"]
    parts = {part: size for part, size in stage["memory"][full].items() if size > VISIBLE}
    by_moment = [
        f"{name} {sum(parts.values()) / GIB:.2f}" for name, parts in stage["memory"].items()
    ]
    lines = [
        f"{name} on {several}{stage['machine']}: {verdict}, {spent}",
        f"  rows    {stage['rows']:,}{steps}; lengths: {stage['lengths']}",
        f"  tokens  {lengths}",
        f"  memory  {stage['needed'] / GIB:.2f} of {stage['capacity'] / GIB:.1f} GiB",
        _wrapped(by_moment, "moments "),
        _wrapped([f"{part} {size / GIB:.2f}" for part, size in parts.items()], f"{full}: "),
        _wrapped([f"{part} {_time(s)}" for part, s in stage["seconds"].items()], "time    "),
    ]
    return "\n".join(lines)


def _wrapped(items: list[str], first: str) -> str:
    """Return the items, unbroken, in lines of 98, behind ``first`` or as far to the right."""
    text = ", ".join(item.replace(" ", "\N{NO-BREAK SPACE}") for item in items)
    first, rest = "  " + first, " " * (len(first) + 2)
    lines = textwrap.wrap(text, 98, initial_indent=first, subsequent_indent=rest)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")


def _assumptions(plan: dict[str, Any]) -> str:
    lines = [
        f"  {name:18} {one['value']:>12.4g} {one['unit']}: {one['why']}"
        for name, one in plan["assumptions"].items()
    ]
    return "\n".join(["Assumed, and not measured here:", *lines])


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
