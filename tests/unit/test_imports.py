from pathlib import Path

import pytest

from legor1.core import code_digest


def names(stage: str) -> set[str]:
    return {
        path.relative_to(code_digest.PACKAGE.parent).as_posix() for path in code_digest.code(stage)
    }


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of four modules: a imports b in a function, b imports sub.c, and d is alone."""
    folder = tmp_path / "legor1"
    (folder / "sub").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "sub" / "__init__.py").touch()
    (folder / "a.py").write_text("import json\ndef f():\n    from legor1 import b\n")
    (folder / "b.py").write_text("from legor1.sub.c import name\nimport numpy.linalg\n")
    (folder / "sub" / "c.py").write_text("import legor1.a\nname = 1\n")
    (folder / "d.py").write_text("")
    monkeypatch.setattr(code_digest, "PACKAGE", folder)
    monkeypatch.setattr(code_digest, "STAGES", {"first": ["a"], "alone": ["d"]})
    return folder


def test_imports_are_followed_through_functions_packages_and_circles(package):
    assert names("first") == {
        "legor1/__init__.py",
        "legor1/a.py",
        "legor1/b.py",
        "legor1/sub/__init__.py",
        "legor1/sub/c.py",
    }


def test_a_module_that_imports_nothing_is_alone(package):
    assert names("alone") == {"legor1/d.py"}


@pytest.mark.parametrize("stage", code_digest.STAGES)
def test_no_stage_depends_on_the_command_line(stage):
    reached = names(stage)
    assert not {name for name in reached if name.startswith("legor1/cli/")}
    assert not {"legor1/core/records.py", "legor1/publishing/crate.py"} & reached


def test_the_stages_reach_what_they_should():
    assert "legor1/tasks/rewards.py" in names("train grpo") & names("reward")
    assert "legor1/tasks/object.py" in names("train grpo") & names("convert") - names("train sft")
    others = names("train sft") | names("predict") | names("score")
    assert not {name for name in others if name.endswith("rewards.py")}
    assert "legor1/tasks/prompts.py" in names("convert") & names("predict") & names("train sft")
    assert "legor1/training/sft.py" not in names("train grpo")
    assert "legor1/training/fast/shared_prompt.py" in names("train grpo") - names("train sft")
    assert "legor1/core/boxes.py" in names("predict")


def test_only_scoring_may_reach_the_published_metrics():
    # A comparison computes the metrics that it compares by the same table of measures.
    for stage in set(code_digest.STAGES) - {"score", "compare"}:
        assert "legor1/published/thesis_metrics.py" not in names(stage), stage


def test_the_data_stages_reach_no_model_code():
    for stage in ("synthesize", "index", "split", "convert", "score", "reward", "table"):
        reached = names(stage)
        assert not {n for n in reached if n.startswith(("legor1/training", "legor1/inference"))}
        assert "legor1/models/loading.py" not in reached


def test_the_report_depends_on_its_templates():
    files = {path for path in code_digest.REPORT.rglob("*") if path.is_file()}
    captions = {path for path in files if path.suffix == ".rst"}  # of Snakemake's own report
    assert captions and not captions & set(code_digest.code("report"))
    templates = files - captions
    assert templates
    assert templates <= set(code_digest.code("report"))


def test_paths_are_absolute_and_exist():
    for stage in code_digest.STAGES:
        assert all(path.is_absolute() and path.is_file() for path in code_digest.code(stage)), stage


def test_an_unknown_stage_is_an_error():
    with pytest.raises(KeyError):
        code_digest.code("trian sft")


def test_nothing_is_run(package, tmp_path):
    (package / "d.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    names("alone")
    assert not (tmp_path / "ran").exists()
    assert Path(package / "d.py") in code_digest.code("alone")
