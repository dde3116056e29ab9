import re

import pytest

from legor1.core.files import write_json
from legor1.report.sections import provenance_view
from legor1.report.study import read

RECIPE = {"recipe": {"method": "sft", "device": "cpu", "threads": 1}}


@pytest.fixture
def made(run):
    """A run whose two scores and table have records."""
    for name in ("sft", "grpo"):
        run.record(f"scores/{name}", "score", made=[f"scores/{name}/scores.json"], seed=42)
    run.record("table.csv", "table", "scores/sft/scores.json", "scores/grpo/scores.json",
               outputs=[])  # fmt: skip
    return run


def said(run) -> str:
    return " ".join(one.striptags() for one in provenance_view.warnings(read(run.folder)))


def test_a_study_in_one_piece_has_no_warning(made):
    assert provenance_view.warnings(read(made.folder)) == []
    page = made.page()
    assert "○ One commit without changes made every result" in page.text
    assert "▲ Provenance." not in page.text
    assert provenance_view.machine(read(made.folder))["Commit"] == "a" * 12


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"commit": "b" * 40}, r"several commits: b{12} \(score\); a{12} \(score, table\)"),
        ({"dirty": True}, "differed from its commit when these ran: score"),
        ({"commit": None}, "commit of some results is not known"),
        ({"code_sha256": "3" * 64}, "Not all jobs of score ran alike: different code"),
        ({"versions": {}}, "Not all jobs of score ran alike: different versions of packages"),
        ({"devices": ["NVIDIA A40"]}, "Not all jobs of score ran alike: different devices"),
    ],
)
def test_what_does_not_belong_together_is_said_at_the_top_of_the_page(made, changes, warning):
    made.record("scores/grpo", "score", made=["scores/grpo/scores.json"], seed=42, **changes)
    assert re.search(warning, said(made))
    source = made.page().source
    top, whole = source.split('<section id="results">')
    assert "▲ Provenance." in top
    assert whole.count('<p class="warning">▲ ') == len(provenance_view.warnings(read(made.folder)))


def test_versions_that_differ_between_stages_name_them(made):
    made.record("table.csv", "table", "scores/sft/scores.json", outputs=[],
                versions={"torch": "2.11.0", "scipy": "1.17.1"})  # fmt: skip
    found = provenance_view.versions(read(made.folder))
    assert found["scipy"] == "1.17.1"
    assert found["torch"].striptags() == "▲ 2.14.1 (score); 2.11.0 (table)"


def test_every_result_is_listed_with_how_it_was_made(made):
    headings, rows = provenance_view.outputs(read(made.folder))
    assert headings[:3] == ["Result", "Stage", "Commit"]
    assert [[*map(str, row)] for row in rows][-1] == [
        "<code>table.csv</code>", "table", "a" * 12, "2026-01-02 03:04:05", "1.5 s", "100 MiB",
        "A processor",
    ]  # fmt: skip


def test_the_graph_shows_what_ran_and_its_table_says_it(made):
    figure = provenance_view.graph(read(made.folder))
    assert [row[:6] for row in figure.rows] == [
        ["score", "2", "3.0 s", "1.5 s", "100 MiB", "–"],
        ["table", "1", "1.5 s", "1.5 s", "100 MiB", "score"],
    ]
    ((_, _, picture),) = figure.panels
    assert picture.count("<rect") == 3 and picture.count("<path") == 2
    assert "score → table; table → this report" in picture
    assert ">2 jobs, 3.0 s<" in picture and ">1 job, 1.5 s<" in picture


def test_records_that_run_in_a_circle_are_drawn_without_one(run):
    run.record("a", "split", "table.csv")
    run.record("table.csv", "table", "a")
    figure = provenance_view.graph(read(run.folder))
    ((_, _, picture),) = figure.panels
    assert sorted(row[5] for row in figure.rows) == ["split", "table"]  # the table has both ways
    assert picture.count('class="flow"') == 2  # one of them, and to the page


def test_of_a_circle_the_edge_that_closes_it_is_left_out():
    edges = [("a", "b"), ("b", "c"), ("c", "a"), ("b", "b"), ("a", "c")]
    assert {*provenance_view.without_circles(edges).edges} == {("a", "b"), ("b", "c"), ("a", "c")}


def test_each_stage_stands_below_all_that_it_follows_whenever_they_began(run):
    run.record("a", "predict", "c", started="2026-01-01T00:00:00+00:00")
    run.record("b", "split", started="2026-01-02T00:00:00+00:00")
    run.record("c", "train", "b", settings=RECIPE, started="2026-01-03T00:00:00+00:00")
    ((_, _, picture),) = provenance_view.graph(read(run.folder)).panels
    shown = re.findall(r'class="strong">([^<]+)<', picture)
    assert shown == ["split", "train sft", "predict", "this report"]


def test_the_commands_are_those_of_the_last_commit(made):
    assert provenance_view.command(read(made.folder)).splitlines() == [
        "git checkout " + "a" * 40,
        "make setup",
        "cp results/tiny/config.json again.json",
        ".venv/bin/snakemake --configfile again.json",
    ]


def test_a_run_without_records_says_so(run):
    write_json(run.folder / "adapters/sft/run.json", {})
    assert said(run) == "No record says how the results were made."
    assert provenance_view.graph(read(run.folder)).panels == []
