import csv
import io
import json
import re

import pytest
from report_run import EXPERIMENTS, SCORES
from test_claims import compared

from legor1.cli import main
from legor1.report import table_export
from legor1.report.study import published, read


@pytest.fixture
def tables(run):
    """The folder of the results table, with a baseline without model and a paired difference."""
    with (run.folder / "table.csv").open("a") as file:
        file.write("mean_box,sound,object,iou,0.111,0.1,0.2,40\n")
        file.write("few_shot,thesis,object,iou,1.375,,,40\n")
    compared(run, "sft", iou=(0.25, 0.2, 0.3))
    folder = run.folder / "tables"
    out = str(run.folder / "report.html")
    assert main.main(["report", str(run.folder), "--out", out, "--tables", str(folder)]) == 0
    return folder


def test_json_and_csv_hold_the_same_records(tables):
    records = json.loads((tables / "results.json").read_text())
    with (tables / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(tuple(one) == table_export.COLUMNS for one in records)
    assert rows == [{k: "" if v is None else str(v) for k, v in one.items()} for one in records]


def test_records_are_the_runs_numbers_and_the_published_ones(tables):
    records = json.loads((tables / "results.json").read_text())
    own = {(r["protocol"], r["model"], r["metric"]): r for r in records}
    for name in EXPERIMENTS:
        for metric, (value, low, high) in SCORES[name].items():
            found = own["sound", name, metric]
            assert (found["value"], found["low"], found["high"]) == (value, low, high)
    sft = own["sound", "sft", "iou"]
    assert (sft["difference"], sft["difference_low"], sft["difference_high"]) == (0.25, 0.2, 0.3)
    assert sft["verdict"] == "better" and own["sound", "grpo", "iou"]["verdict"] is None
    assert own["sound", "mean_box", "iou"]["source"] == "no model"
    assert own["thesis", "few_shot", "iou"]["value"] == 1.375
    assert own["thesis", "few_shot", "iou"]["low"] is None
    quoted = [r for r in records if r["protocol"] == "published"]
    assert {r["model"] for r in quoted} == {row["model"] for row in published()}
    llava = next(r for r in quoted if r["model"] == "LLaVA" and r["metric"] == "f1_state")
    assert llava["value"] == 0.2504


def test_markdown_is_a_table_with_as_many_cells_in_every_row(tables):
    text = (tables / "results.md").read_text()
    assert text.count("## ") == 3  # two protocols, the paper
    for part in text.split("## ")[1:]:
        rows = [line for line in part.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1 < len(rows)
    assert re.search(r"^\| \*\*[^*\\]+ \(object, n = 40\)\*\* \|", text, re.M)
    assert "| 45.0<br>42.0–48.0<br>better +25.0 (+20.0 to +30.0) |" in text
    assert "| 11.1<br>mean\\_box | 60.82 | 14.16 | 65.49 |" in text


def test_latex_is_whole_and_escaped(tables):
    text = (tables / "results.tex").read_text()
    for environment in ("table", "tabular"):
        assert text.count(f"\\begin{{{environment}}}") == text.count(f"\\end{{{environment}}}") == 3
    assert text.count("\\toprule") == text.count("\\bottomrule") == 3
    no_wider = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"
    assert text.count(no_wider + "{%\n\\begin{tabular}") == text.count("\\end{tabular}}") == 3
    assert text.isascii()
    assert "few\\_shot" in text and not re.search(r"(?<!\\)_", text)
    columns = {len(one) for one in re.findall(r"\\begin{tabular}{(lr*)}", text)}
    lines = [line for line in text.splitlines() if line.endswith(r"\\") and "&" in line]
    assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == columns


def test_what_latex_or_markdown_would_read_as_its_own_is_escaped():
    assert table_export._latex("a_b & 5 % {x} \\ #$~^") == (
        r"a\_b \& 5 \% \{x\} \textbackslash{} \#\$\~{}\^{}"
    )
    assert table_export._markdown("a|b <i> c_d") == r"a\|b &lt;i> c\_d"


def test_hostile_names_stay_text_in_every_format(run):
    name = '=HYPERLINK("x")|`a`![b](c)<i>&*d*\\input{e}\n\nf'
    experiments = {name: {"method": "sft"}}
    run.configure(experiments=experiments)
    run.table({})
    with (run.folder / "table.csv").open("a") as file:
        csv.writer(file).writerow([name, "sound", "object", "iou", 0.5, 0.4, 0.6, 40])
    table_export.write(read(run.folder), run.folder / "tables")
    made = {one.suffix: one.read_text() for one in (run.folder / "tables").iterdir()}
    rows = [*csv.DictReader(io.StringIO(made[".csv"], newline=""))]
    assert rows[0]["model"] == "'" + name
    assert json.loads(made[".json"])[0]["model"] == name
    heading = next(line for line in made[".md"].splitlines() if line.startswith("| Metric"))
    assert r"""=HYPERLINK("x")\|\`a\`!\[b\](c)&lt;i>&amp;\*d\*\\input{e} f |""" in heading
    assert r"=HYPERLINK(\"x\")" not in made[".tex"]
    assert r"\textbackslash{}input\{e\} f" in made[".tex"] and r"\input" not in made[".tex"]
