import ast
from pathlib import Path

import pytest

from legor1.core import code_digest

PACKAGES = (  # lowest first: a package imports those before it alone
    "core", "tasks", "published", "evaluation", "config", "models", "data", "inference", "training",
    "monitor", "planning", "publishing", "report", "cli",
)  # fmt: skip
TWO = '''\
"""A module."""
from legor1.sub import c
from legor1.sub.c import name


def double(x):
    """Return twice x."""
    return c.add(x, x) + name  # as always
'''


def names(stage: str) -> set[str]:
    folder = code_digest.PACKAGE.parent
    return {path.relative_to(folder).as_posix() for path in code_digest.modules(stage)}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of five modules: a imports b in a function, b imports sub.c, and d is alone."""
    folder = tmp_path / "legor1"
    (folder / "sub").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "sub" / "__init__.py").touch()
    (folder / "a.py").write_text("import json\ndef f():\n    from legor1 import b\n")
    (folder / "b.py").write_text("from legor1.sub.c import name\nimport numpy.linalg\n")
    (folder / "sub" / "c.py").write_text("import legor1.a\nname = 1\ndef add(a, b): return a + b\n")
    (folder / "d.py").write_text("")
    (folder / "two.py").write_text(TWO)
    stages = {"first": ["a"], "alone": ["d"], "two": ["two"]}
    monkeypatch.setattr(code_digest, "PACKAGE", folder)
    monkeypatch.setattr(code_digest, "STAGES", stages)
    forget()
    yield folder
    forget()


def forget():
    """Have the code read anew; a process reads each file once."""
    for cached in (
        code_digest._tree,
        code_digest._parsed,
        code_digest._shape,
        code_digest._meaning,
    ):
        cached.cache_clear()


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


def rewrite(old, new):
    return lambda folder: (folder / "two.py").write_text(TWO.replace(old, new))


def move(folder):
    """Give ``sub/c.py`` another name and place, and have its readers know."""
    (folder / "other").mkdir()
    (folder / "other" / "__init__.py").touch()
    (folder / "sub" / "c.py").rename(folder / "other" / "sums.py")
    (folder / "b.py").write_text("from legor1.other.sums import name\nimport numpy.linalg\n")
    text = TWO.replace("legor1.sub import c", "legor1.other import sums").replace(
        "c.add", "sums.add"
    )
    (folder / "two.py").write_text(text.replace("legor1.sub.c", "legor1.other.sums"))


@pytest.mark.parametrize(
    "change",
    [
        rewrite("  # as always", ""),
        rewrite("A module.", "Something else."),
        rewrite('    """Return twice x."""\n', ""),
        rewrite("c.add(x, x) + name", "(\n        c.add(x, x)\n        + name\n    )"),
        rewrite("\n\n\n", "\n"),
        move,
    ],
    ids=["comment", "docstring", "no docstring", "layout", "blank lines", "place of a module"],
)
def test_what_has_no_meaning_changes_no_digest(package, change):
    before = code_digest.digest("two")
    change(package)
    forget()
    assert code_digest.digest("two") == before


@pytest.mark.parametrize(
    "change",
    [
        rewrite("x, x", "x, 1"),
        rewrite("+ name", "- name"),
        rewrite("return c.add(x, x) + name", "'text that is no docstring' and name"),
        rewrite("import name", "import add as name"),
        lambda folder: (folder / "sub" / "c.py").write_text(
            "name = 2\ndef add(a, b): return a + b\n"
        ),
    ],
    ids=["argument", "operator", "statement", "what is imported", "a module that it imports"],
)
def test_what_has_a_meaning_changes_the_digest(package, change):
    before = code_digest.digest("two"), code_digest.digest("alone")
    change(package)
    forget()
    after = code_digest.digest("two"), code_digest.digest("alone")
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_the_same_function_of_another_module_is_other_code(package):
    (package / "sub" / "e.py").write_text("name = 1\ndef add(a, b): return a - b\n")
    before = code_digest.digest("two")
    rewrite("sub.c import", "sub.e import")(package)
    forget()
    assert code_digest.digest("two") != before


def test_a_module_counts_with_the_data_beside_it(package):
    data = package / "sub" / "c.yaml"
    before = code_digest.digest("two"), code_digest.digest("alone")
    data.write_text("a: 1\n")
    first = code_digest.digest("two")
    data.write_text("a: 2\n")
    after = code_digest.digest("two"), code_digest.digest("alone")
    assert len({before[0], first, after[0]}) == 3
    assert after[1] == before[1]


def test_files_that_are_no_module_count_as_well(package, tmp_path):
    reward, table = tmp_path / "reward.py", tmp_path / "table.txt"
    reward.write_text("def f(): return 1  # one\n")
    table.write_text("1 # one")
    first = code_digest.digest("alone", files=[reward, table])
    reward.write_text("def f(): return 1\n")
    forget()
    assert (
        code_digest.digest("alone", files=[reward, table]) == first != code_digest.digest("alone")
    )
    table.write_text("1")
    assert code_digest.digest("alone", files=[reward, table]) != first


@pytest.mark.parametrize("stage", code_digest.STAGES)
def test_no_stage_depends_on_the_command_line(stage):
    reached = names(stage)
    assert not {name for name in reached if name.startswith("legor1/cli/")}
    assert not {"legor1/core/records.py", "legor1/publishing/crate.py"} & reached


def test_the_stages_reach_what_they_should():
    assert "legor1/tasks/rewards.py" in names("train grpo") & names("probe-reward")
    others = names("train sft") | names("predict") | names("score")
    assert not {name for name in others if name.endswith("rewards.py")}
    assert "legor1/tasks/prompts.py" in names("convert") & names("predict") & names("train sft")
    assert "legor1/training/sft.py" not in names("train grpo")
    assert "legor1/training/fast/packed_rows.py" in names("train grpo") - names("train sft")
    assert "legor1/core/boxes.py" in names("predict")


def test_only_scoring_may_reach_the_published_metrics():
    # A comparison computes the metrics that it compares by the same table of measures.
    for stage in set(code_digest.STAGES) - {"score", "compare", "ablation-measure"}:
        assert "legor1/published/thesis_metrics.py" not in names(stage), stage


def test_the_data_stages_reach_no_model_code():
    for stage in ("synthesize", "index", "split", "convert", "score", "probe-reward", "table"):
        reached = names(stage)
        assert not {n for n in reached if n.startswith(("legor1/training", "legor1/inference"))}
        assert "legor1/models/loading.py" not in reached


def test_the_report_depends_on_its_templates(tmp_path, monkeypatch):
    (tmp_path / "style.css").write_text("a { }")
    (tmp_path / "caption.rst").write_text("A caption.")
    monkeypatch.setattr(code_digest, "TEMPLATES", tmp_path)
    report, score = code_digest.digest("report"), code_digest.digest("score")
    (tmp_path / "caption.rst").write_text("Another caption: of Snakemake's own report.")
    assert code_digest.digest("report") == report
    (tmp_path / "style.css").write_text("b { }")
    assert code_digest.digest("report") != report
    assert code_digest.digest("score") == score


def test_an_unknown_stage_is_an_error():
    with pytest.raises(KeyError):
        code_digest.digest("trian sft")


def test_nothing_is_run(package, tmp_path):
    (package / "d.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    code_digest.digest("alone")
    assert not (tmp_path / "ran").exists()


def package_of(path: Path) -> str:
    return path.relative_to(code_digest.PACKAGE).parts[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_down_only(package):
    for module in (code_digest.PACKAGE / package).rglob("*.py"):
        imported = {package_of(path) for path, _ in code_digest._parsed(module)[1].values()}
        above = imported - set(PACKAGES[: PACKAGES.index(package) + 1])
        assert not above, module


def test_the_package_has_no_module_at_its_top_and_no_name_twice():
    modules = [path for path in code_digest.PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    assert {package_of(path) for path in modules} == set(PACKAGES)
    assert len({path.name for path in modules}) == len(modules)


def test_every_module_can_be_parsed():
    for module in code_digest.PACKAGE.rglob("*.py"):
        assert isinstance(code_digest._tree(module), ast.Module)
