"""A small ablation from the data to its page, by Snakemake: each piece of work once."""

import json

import pytest
from study import Study

pytestmark = pytest.mark.slow
BLOCK = {
    "of": ["sft"],
    "defects": ["frame_mismatch", "literal_question", "summed_iou"],
    "around": ["sound"],
    "seeds": [42],
}


def test_an_ablation_runs_from_the_data_to_its_page_and_then_not_again(tmp_path):
    study = Study(tmp_path, "smoke", with_base=True)
    more = ["--config", f"ablation={json.dumps(BLOCK)}", "prepare={test_fraction: 0.5}"]
    done = study.snakemake("--cores", "2", "ablation", *more)
    assert done.returncode == 0, done.stdout
    run = tmp_path / "results" / "smoke"
    plan = json.loads((run / "ablation" / "plan.json").read_text())
    # Soundly and with the frame: the study makes the first of them itself.
    assert len(plan["trainings"]) == 2
    assert [one["experiment"] for one in plan["trainings"].values()].count("sft") == 1
    made = {path.name for path in (run / "ablation" / "adapters").iterdir() if path.is_dir()}
    assert made == {key for key, one in plan["trainings"].items() if one["experiment"] is None}
    found = json.loads((run / "ablation.json").read_text())
    inert = {one["defect"] for one in found["effects"] if one["inert"]}
    assert "literal_question" in inert and "frame_mismatch" not in inert
    assert "What each published defect moves" in (run / "ablation.html").read_text()
    assert (run / "ablation.csv").stat().st_size > 0
    assert study.plan("ablation", *more) == {}
