"""What the README opens with, from a finished demo: pictures of its report, and its results.

``make shop-window RUN=demo`` takes the pictures, keeps them with the run's ``table.csv`` and its
commit and date in ``docs/demo``, and writes the README's part between its two markers.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from legor1.core.errors import UserError
from legor1.core.format import percent
from legor1.tasks.baselines import NAMES
from legor1.tasks.discovery import METRICS, TASKS

ROOT = Path(__file__).parents[1]
KEPT, README = ROOT / "docs/demo", ROOT / "README.md"
PART = re.compile(r"(?<=<!-- demo: by make shop-window -->\n).*?(?=<!-- end of demo -->)", re.S)
SCHEMES = ("light", "dark")
VIEW = {"width": 1200, "height": 1000}  # CSS pixels
COLOURS = 160

Row = dict[str, str]


def main(run: Path) -> None:
    """Keep a finished run's table and pictures, and write the README's part.

    Raises:
        UserError: the run is not finished, or its code was no commit.
    """
    needed = [run / name for name in ("report.html", "table.csv", "table.csv.provenance.json")]
    for path in needed:
        if not path.exists():
            raise UserError(f"{path} does not exist. Remedy: finish the run first: make demo.")
    record = json.loads(needed[2].read_text(encoding="utf-8"))
    if not record["commit"] or record["dirty"]:
        raise UserError(f"{run} was made by code of no commit. Remedy: commit, and run it again.")
    KEPT.mkdir(exist_ok=True)
    take_pictures(needed[0])
    shutil.copyfile(needed[1], KEPT / "table.csv")
    made = {"run": run.name, "commit": record["commit"], "date": record["started"][:10]}
    (KEPT / "made.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    README.write_text(PART.sub(lambda _: part(), text), encoding="utf-8")


def take_pictures(report: Path) -> None:
    """Take the report's first screen, light and dark."""
    from playwright.sync_api import sync_playwright

    finder = ROOT / "tests/browser/chromium.sh"
    chromium = subprocess.run([finder], stdout=subprocess.PIPE, text=True, check=True).stdout
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as folder:
        browser = driver.chromium.launch(executable_path=chromium.strip())
        for scheme in SCHEMES:
            page = browser.new_page(viewport=VIEW, color_scheme=scheme, device_scale_factor=1.5)
            page.goto(report.resolve().as_uri())
            taken = Path(folder) / "taken.png"
            page.screenshot(path=taken)
            with Image.open(taken) as image:
                few = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            few.save(KEPT / f"report-{scheme}.png", optimize=True)
        browser.close()


def part() -> str:
    """Return the README's part, from what is kept in ``docs/demo``."""
    made = json.loads((KEPT / "made.json").read_text(encoding="utf-8"))
    with (KEPT / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["protocol"] == "sound"]
    return f"""\
<picture>
  <source media="(prefers-color-scheme: dark)" srcset="docs/demo/report-dark.png">
  <img src="docs/demo/report-light.png" alt="The report of the demo: its answer in a few sentences,
  and the first lines of its results">
</picture>

{table(rows)}

The report of `make {made["run"]}`, and its results in percent, with their 95 % intervals. Made on
{made["date"]} by commit {made["commit"][:12]}; all numbers: [table.csv](docs/demo/table.csv).

"""


def table(rows: list[Row]) -> str:
    """Return the results in Markdown: a line a metric, a column an experiment."""
    names = [name for name in dict.fromkeys(row["experiment"] for row in rows) if name not in NAMES]
    lines = [["", *names, "best without a model"], ["---", *("--:" for _ in names), "--:"]]
    for one in METRICS:
        found = {row["experiment"]: row for row in rows if row["metric"] == one.name}
        turned = 1 if one.higher else -1
        free = [found[name] for name in NAMES if name in found and found[name]["value"]]
        best = max(free, key=lambda row: turned * float(row["value"]), default=None)
        label = f"{TASKS[one.task].title}: {one.label} {'↑' if one.higher else '↓'}"
        lines.append([label, *(_cell(found.get(name)) for name in names), _cell(best)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(row: Row | None) -> str:
    if row is None or not row["value"]:
        return "–"
    value, *ends = (percent(float(row[key])) for key in ("value", "low", "high") if row[key])
    return f"**{value}** {'–'.join(ends)}"


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except UserError as error:
        sys.exit(f"Error: {error}")
