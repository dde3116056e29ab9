import re

import pytest
from report_run import macro, table

from legor1.core.files import write_json
from legor1.report.sections import provenance_view
from legor1.report.study import read


@pytest.fixture
def made(run):
    """A run whose two scores and table have records."""
    for name in ("sft", "grpo"):
        run.record(f"scores/{name}", "score", made=[f"scores/{name}/scores.json"], seed=42)
    run.record("table.csv", "table", "scores/sft/scores.json", "scores/grpo/scores.json",
               outputs=[])  # fmt: skip
    return run


def said(run) -> str:
    doubts = provenance_view.doubts(read(run.folder))
    return " ".join(macro("_provenance.html.j2", "doubt", *one).striptags() for one in doubts)


def test_a_study_in_one_piece_has_no_warning(made):
    assert provenance_view.doubts(read(made.folder)) == []
    page = made.page()
    assert "○ One commit without changes made every result" in page.text
    assert "▲ Provenance." not in page.text
    assert f"Commit {'a' * 12} Python 3.11.7" in page.text


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
    assert whole.count('<p class="warning">▲ ') == len(provenance_view.doubts(read(made.folder)))


def test_versions_that_differ_between_stages_name_them(made):
    made.record("table.csv", "table", "scores/sft/scores.json", outputs=[],
                versions={"torch": "2.11.0", "scipy": "1.17.1"})  # fmt: skip
    text = made.page().text
    assert "scipy 1.17.1" in text and "torch ▲ 2.14.1 (score); 2.11.0 (table)" in text


def test_every_result_is_listed_with_how_it_was_made(made):
    headings, *rows = table("outputs", read(made.folder))
    assert headings[:3] == ["Result", "Stage", "Commit"]
    assert rows[-1] == [
        "table.csv", "table", "a" * 12, "2026-01-02 03:04:05", "1.5 s", "100 MiB",
        "A processor",
    ]  # fmt: skip


def test_the_stages_are_listed_with_what_they_took_and_whom_they_follow(made):
    _, *rows = table("stages", read(made.folder))
    assert [row[:6] for row in rows] == [
        ["score", "2", "3.0 s", "1.5 s", "100 MiB", "–"],
        ["table", "1", "1.5 s", "1.5 s", "100 MiB", "score"],
    ]


def test_the_commands_are_those_of_the_last_commit(made):
    assert macro("_facts.html.j2", "commands", read(made.folder)).splitlines() == [
        "git checkout " + "a" * 40,
        "make setup",
        "cp results/tiny/config.json again.json",
        ".venv/bin/snakemake --configfile again.json",
    ]


def test_a_run_without_records_says_so(run):
    write_json(run.folder / "adapters/sft/run.json", {})
    assert said(run) == "No record says how the results were made."
    assert table("stages", read(run.folder)) == []
