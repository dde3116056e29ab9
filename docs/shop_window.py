"""What the docs show of a finished demo: pictures, its results, and what was found.

``make shop-window RUN=demo`` takes the pictures, keeps them in ``docs/demo`` with the run's
``table.csv`` and what it was made of, and writes the README's part between its two markers and
``docs/results.md``. Without a run, it writes these two again from what is kept.
"""

import csv
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from legor1.core.errors import UserError
from legor1.core.files import read_json, write_json
from legor1.core.format import p_value, percent, points
from legor1.evaluation.resampling import significant
from legor1.tasks.baselines import NAMES
from legor1.tasks.discovery import METRICS, TASKS, main_metric
from legor1.tasks.task import Shown

ROOT = Path(__file__).parents[1]
KEPT, README, RESULTS = ROOT / "docs/demo", ROOT / "README.md", ROOT / "docs/results.md"
PART = re.compile(r"(?<=<!-- demo: by make shop-window -->\n).*?(?=<!-- end of demo -->)", re.S)
SCHEMES = ("light", "dark")
REPEATED = re.compile(r".+_seed\d+")  # an experiment trained with another seed
VIEW = {"width": 1200, "height": 1000}  # CSS pixels
COLOURS = 160
NEEDED = ("report.html", "gallery.html", "comparison.json", "table.csv")
# The gallery's card that shows most: many parts, answered well by all; of equal ones the first.
BEST_CARD = """cards => cards.map(card => {
  const scores = [...card.querySelectorAll('.score b')].map(b => parseFloat(b.textContent))
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length
  return [card.id, mean * card.querySelectorAll('.truth li').length]
}).reduce((best, card) => card[1] > best[1] ? card : best)[0]"""
UNSTICK = "all => all.forEach(one => { one.style.position = 'static' })"  # not before the card
WITHOUT = "best without a model"
RESULTS_PAGE = """\
# The demo's results

Written by `make shop-window` from a finished `make {run}`, made on {date} by commit `{commit:.12}`:
{examples} from {manuals} test manuals, {trained}.

{picture}

In percent, with 95 % intervals that resample whole manuals. All numbers are in
[table.csv](demo/table.csv), and defined in [metrics.md](metrics.md). The base model is tiny: this
shows that the methods work, and says nothing about how they compare at 7 billion parameters.

{table}
{seeds_table}"""
SEEDS_TABLE = """
## Other training seeds

The same trainings with the seeds {seeds}, by

```console
$ .venv/bin/snakemake --configfile workflow/configs/demo.yaml --config 'seeds={others}'
```

All above is of the first seed. A difference is of the means over the seeds, paired by example, with
an interval that resamples manuals and seeds, and p adjusted over all of the report's tests.

| metric | experiment | by seed | less {baseline} | adjusted p |
| --- | --- | --: | --: | --: |
{rows}
"""

Row = dict[str, str]
Line = dict[str, Row | None]  # experiment, or ``WITHOUT`` → its row of ``table.csv``
Facts = dict[str, Any]


def main(run: Path) -> None:
    """Keep a finished run's table, facts and pictures, and write what shows them.

    Raises:
        UserError: the run is not finished, or its code was no commit.
    """
    for path in (run / name for name in (*NEEDED, "table.csv.provenance.json")):
        if not path.exists():
            raise UserError(f"{path} does not exist. Remedy: finish the run first: make demo.")
    record = read_json(run / "table.csv.provenance.json")
    if not record["commit"] or record["dirty"]:
        raise UserError(f"{run} was made by code of no commit. Remedy: commit, and run it again.")
    KEPT.mkdir(exist_ok=True)
    take_pictures(run)
    shutil.copyfile(run / "table.csv", KEPT / "table.csv")
    compared = read_json(run / "comparison.json")
    tasks = compared["comparisons"][0]["tasks"].values()
    made = {"run": run.name, "commit": record["commit"], "date": record["started"][:10]}
    made |= {"manuals": max(task["clusters"] for task in tasks)}
    config = read_json(run / "config.json")
    made |= {"seeds": [config["seed"], *config.get("seeds", [])]}
    made |= {"baseline": compared["baseline"], "better": clearly_better(compared)}
    made |= {"differences": from_baseline(compared)}
    write_json(KEPT / "made.json", made)
    write()


def write() -> None:
    """Write the README's part and the page of results, from what is kept in ``docs/demo``."""
    text = README.read_text(encoding="utf-8")
    README.write_text(PART.sub(lambda _: part(), text), encoding="utf-8")
    RESULTS.write_text(page(), encoding="utf-8")


def clearly_better(compared: Facts) -> dict[str, list[str]]:
    """Return metric, as ``task.name`` → the experiments that are clearly better than the first.

    As in the report: the interval of the paired difference lies above zero, and its test agrees.
    """
    better: dict[str, list[str]] = {}
    confidence = compared["interval"]["confidence"]
    first = [p for p in compared["comparisons"] if p["baseline"] == compared["baseline"]]
    for pair in first:
        for task, differences in pair["tasks"].items():
            for name, facts in differences["metrics"].items():
                if facts["low"] > 0 and significant(facts["p_holm"], confidence):
                    better.setdefault(f"{task}.{name}", []).append(pair["experiment"])
    return better


def from_baseline(compared: Facts) -> list[Facts]:
    """Return how repeated experiments differ from the first, in main metrics, on their means."""
    return [
        {"experiment": pair["experiment"], "task": task, "metric": main_metric(task).name}
        | {
            key: pair["tasks"][task]["metrics"][main_metric(task).name][key]
            for key in ("difference", "low", "high", "p_holm")
        }
        for task in TASKS
        for pair in compared["comparisons"]
        if pair["baseline"] == compared["baseline"]
        and compared["seeds"][pair["experiment"]] > 1
        and task in pair["tasks"]
    ]


def take_pictures(run: Path) -> None:
    """Take the report's first screen and the gallery's best card, light and dark."""
    from playwright.sync_api import sync_playwright

    finder = ROOT / "tests/browser/chromium.sh"
    chromium = subprocess.run([finder], stdout=subprocess.PIPE, text=True, check=True).stdout
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        taken = Path(folder) / "taken.png"
        browser = driver.chromium.launch(executable_path=chromium.strip())
        for scheme in SCHEMES:
            page = browser.new_page(viewport=VIEW, color_scheme=scheme, device_scale_factor=1.5)
            page.goto((run / "report.html").resolve().as_uri())
            page.screenshot(path=taken)
            keep(taken, f"report-{scheme}.png")
            page.goto((run / "gallery.html").resolve().as_uri())
            best = page.eval_on_selector_all("article.object", BEST_CARD)
            page.eval_on_selector_all(".filters, .tally", UNSTICK)
            page.locator(f"article#{best}").screenshot(path=taken)
            keep(taken, f"card-{scheme}.png")
        browser.close()


def keep(taken: Path, name: str) -> None:
    """Keep a picture in few colours."""
    with Image.open(taken) as image:
        few = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(KEPT / name, optimize=True)


def kept() -> tuple[Facts, list[Row]]:
    """Return what the demo was made of, and its rows under the sound protocol."""
    with (KEPT / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["protocol"] == "sound"]
    made = read_json(KEPT / "made.json")
    sizes = {row["task"]: int(row["n"]) for row in rows}
    seed = f"training seed {made['seeds'][0]}"
    return made | {"examples": f"{sum(sizes.values()):,} examples", "trained": seed}, rows


def part() -> str:
    """Return the README's part, from what is kept in ``docs/demo``."""
    made, rows = kept()
    lines = measured(rows, [main_metric(task) for task in TASKS])
    better = made["better"]
    found = [
        finding(shown, line, better.get(f"{shown.task}.{shown.name}", [])) for shown, line in lines
    ]
    alt = "A card of the gallery: one image with its true boxes and what each experiment answered"
    return f"""\
{picture("card", "docs/demo", alt)}

True boxes are solid, predicted ones dashed. What the study in miniature found, with a tiny model
that says nothing about how the methods compare at 7 billion parameters:

{chr(10).join(found)}

{table(lines)}

In percent, with 95 % intervals: {made["examples"]} from {made["manuals"]} test manuals,
{made["trained"]}. Made by `make {made["run"]}` on {made["date"]}, by commit {made["commit"][:12]}.
[All results](docs/results.md).

"""


def page() -> str:
    """Return the page of results, from what is kept in ``docs/demo``."""
    made, rows = kept()
    alt = "The first screen of the report: its answer in a few sentences, and its first results"
    shown = {"picture": picture("report", "demo", alt), "table": table(measured(rows, METRICS))}
    return RESULTS_PAGE.format(**made | shown, seeds_table=seeds_table(made, rows))


def seeds_table(made: Facts, rows: list[Row]) -> str:
    """Return the part about other training seeds; empty if there was only one."""
    first, *others = made["seeds"]
    if not others:
        return ""
    values = {(row["task"], row["metric"], row["experiment"]): row for row in rows}
    lines = []
    for facts in made["differences"]:
        shown, name = main_metric(facts["task"]), facts["experiment"]
        names = [name, *(f"{name}_seed{seed}" for seed in others)]
        of = [values.get((facts["task"], facts["metric"], each)) for each in names]
        if None in of:  # the table may be older than the newest metric
            continue
        over = f"{points(facts['difference'])} ({points(facts['low'])} to {points(facts['high'])})"
        by_seed = ", ".join(percent(_value(row)) for row in of)
        label = f"{TASKS[shown.task].title}: {shown.label}"
        cells = label, name, by_seed, over, p_value(facts["p_holm"])
        lines.append(f"| {' | '.join(cells)} |")
    seeds = f"{', '.join(map(str, [first, *others[:-1]]))} and {others[-1]}"
    facts = {"seeds": seeds, "others": others, "rows": "\n".join(lines)}
    return SEEDS_TABLE.format(baseline=made["baseline"], **facts)


def measured(rows: list[Row], metrics: Iterable[Shown]) -> list[tuple[Shown, Line]]:
    """Return each metric that the rows have, with its row of each experiment and ``WITHOUT``."""
    names = dict.fromkeys(row["experiment"] for row in rows if row["experiment"] not in NAMES)
    experiments = [name for name in names if not REPEATED.fullmatch(name)]
    lines = []
    for shown in metrics:
        of = [row for row in rows if (row["task"], row["metric"]) == (shown.task, shown.name)]
        named = {row["experiment"]: row for row in of if row["value"]}
        free = [row for name, row in named.items() if name in NAMES]
        best = max(free, key=lambda row: shown.worth(float(row["value"])), default=None)
        if named:
            line = {name: named.get(name) for name in experiments} | {WITHOUT: best}
            lines.append((shown, line))
    return lines


def finding(shown: Shown, line: Line, better: list[str]) -> str:
    """Return in one line what was found of a task, given who is clearly better than the first."""
    first, *others = (row for name, row in line.items() if row and name != WITHOUT)
    best, free = max((first, *others), key=_value), line[WITHOUT]
    if free and float(best["low"]) <= _value(free):
        verdict = f"no experiment beats the best baseline without a model ({_percent(free)})"
    elif better:
        names = ", ".join(f"`{name}`" for name in better)
        verdict = f"{names} clearly better than `{first['experiment']}` ({_percent(first)})"
    else:
        verdict = f"no experiment clearly better than `{first['experiment']}` ({_percent(first)})"
    reached = f"best: `{best['experiment']}`, {_percent(best)}"
    return f"- **{TASKS[shown.task].title}** ({shown.label}): {verdict}; {reached}."


def table(lines: list[tuple[Shown, Line]]) -> str:
    """Return the results in Markdown: a line a metric, a column an experiment."""
    names = list(lines[0][1])
    cells = [["", *names], ["---", *("--:" for _ in names)]]
    for shown, line in lines:
        label = f"{TASKS[shown.task].title}: {shown.label} {'↑' if shown.higher else '↓'}"
        cells.append([label, *map(_cell, line.values())])
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def picture(name: str, folder: str, alt: str) -> str:
    """Return a picture that follows the reader's light or dark."""
    return f"""\
<picture>
  <source media="(prefers-color-scheme: dark)" srcset="{folder}/{name}-dark.png">
  <img src="{folder}/{name}-light.png" alt="{alt}">
</picture>"""


def _value(row: Row) -> float:
    return float(row["value"])


def _percent(row: Row) -> str:
    return f"{percent(_value(row))} %"


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    value, *ends = (percent(float(row[key])) for key in ("value", "low", "high") if row[key])
    return f"**{value}** {'–'.join(ends)}"


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1])) if sys.argv[1:] else write()
    except UserError as error:
        sys.exit(f"Error: {error}")
