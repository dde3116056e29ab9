import pytest

from legor1.core.errors import UserError
from legor1.core.files import sha256, write_json
from legor1.report import provenance_graph


def study(run) -> None:
    """Have the run made of a split, from which one training and two scores follow."""
    run.record("data/split.json", "split")
    recipe = {"recipe": {"method": "sft", "threads": 3}}
    run.record("adapters/sft", "train", "data/split.json", settings=recipe, made=["adapters/sft/a"])
    run.record("scores/sft", "score", "adapters/sft/a", "data/split.json", made=["scores/sft/s"])
    run.record("scores/few", "score", "data/split.json", made=["scores/few/s"])
    run.record("table.csv", "table", "scores/sft/s", "scores/few/s")


def test_stages_follow_each_other_as_their_files_do(run):
    study(run)
    steps = provenance_graph.read(run.folder)
    assert {name: len(group) for name, group in provenance_graph.by_stage(steps).items()} == {
        "split": 1,
        "train sft": 1,
        "score": 2,
        "table": 1,
    }
    assert provenance_graph.edges(steps) == {
        ("split", "train sft"),
        ("split", "score"),
        ("train sft", "score"),
        ("score", "table"),
    }
    assert [step.cores for step in steps if step.stage == "train sft"] == [3]


def test_what_the_table_was_not_made_of_has_no_part_in_it(run):
    study(run)
    run.record("adapters/old", "train", "data/split.json", made=["adapters/old/a"])
    run.record("report.html", "report", "table.csv")  # an earlier page
    results = {step.result for step in provenance_graph.read(run.folder)}
    assert results == {"data/split.json", "adapters/sft", "scores/sft", "scores/few", "table.csv"}
    run.record("data/old/audit.json", "audit", "data/split.json")
    assert "audit" not in provenance_graph.by_stage(provenance_graph.read(run.folder))
    wider = provenance_graph.read(run.folder, ["table.csv", "data/old/audit.json"])
    assert "audit" in provenance_graph.by_stage(wider)
    (run.folder / "table.csv.provenance.json").unlink()  # an unfinished study
    assert "adapters/old" in {step.result for step in provenance_graph.read(run.folder)}


def test_a_file_that_is_not_what_it_was_is_found(run):
    whole = [{"path": "results/tiny/table.csv", "sha256": sha256(run.folder / "table.csv")}]
    run.record("table.csv", "table", "a", outputs=whole)
    run.record("a", "fetch")
    assert provenance_graph.broken(run.folder, provenance_graph.read(run.folder)) == []
    with (run.folder / "table.csv").open("a") as file:
        file.write("\n")
    run.record("a", "fetch", outputs=[{"path": "results/tiny/a", "sha256": "9" * 64}])
    assert provenance_graph.broken(run.folder, provenance_graph.read(run.folder)) == [
        "a",
        "table.csv",
    ]
    assert "▲ These files have changed since they were made: a , table.csv" in run.page().text


def test_a_file_of_the_run_that_no_record_tells_of_is_found(run):
    study(run)
    (run.folder / "data/split.json.provenance.json").unlink()
    (run.folder / "data/split.json").write_text("{}")
    assert provenance_graph.unrecorded(run.folder, provenance_graph.read(run.folder)) == [
        "data/split.json"
    ]


def test_a_damaged_record_is_named(run):
    write_json(run.folder / "table.csv.provenance.json", {"stage": "table"})
    with pytest.raises(UserError, match=r"table\.csv\.provenance\.json is no record.*settings"):
        provenance_graph.read(run.folder)
