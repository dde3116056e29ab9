"""The smoke study through SLURM: which job ran where, and what it asked for."""

import pytest
from site_study import SiteStudy, jobs

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def done(slurm, tmp_path_factory):
    """Return a finished study and what Snakemake said."""
    study = SiteStudy(tmp_path_factory.mktemp("cluster"), "smoke", with_base=True)
    return study, study.finish()


@pytest.fixture(scope="module")
def study(done):
    return done[0]


def test_the_study_is_finished(study):
    run = study.folder / "results" / "smoke"
    assert "Smoke test" in (run / "report.html").read_text()
    assert study.plan() == {}


@pytest.mark.parametrize(
    ("rule", "model", "count", "memory"),
    [
        ("train_sft", "a100", 1, 6000),
        ("train_grpo", "a100", 1, 6000),
        ("predict_shard", "a40", 6, 3000),
    ],
)
def test_a_gpu_job_has_the_gpu_and_memory_it_needs(study, rule, model, count, memory):
    records = jobs(study.folder, rule)
    assert len(records) == count
    for record in records:
        assert record["JobState"] == "COMPLETED"
        assert (record["Partition"], record["NodeList"]) == (model, f"node-{model}")
        assert record["TresPerJob"] == f"gres:gpu:{model}:1"
        assert record["MinMemoryNode"] in (f"{memory}M", f"{memory / 1000:g}G")


def test_other_jobs_in_the_queue_have_no_gpu(study):
    others = [one for one in jobs(study.folder) if one["Partition"] == "cpu"]
    rules = sorted(one["Comment"] for one in others)
    assert rules == [
        "rule_audit_dataset_wildcards_sound",
        "rule_fetch_dataset",
        "rule_fingerprint_images",
    ]
    assert not [one for one in others if "TresPerJob" in one]


def test_the_short_jobs_stay_out_of_the_queue(study):
    assert len(jobs(study.folder)) == 3 + 2 + 6
