"""The files that other programs read at the top of the repository: catalog, GitHub, pre-commit."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_workflow_catalog_would_list_it():
    """The conditions are those of the catalog's generator, for its standardized workflows."""
    readme = read("README.md").lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (ROOT / "workflow/Snakefile").is_file()
    assert {path.suffix for path in (ROOT / "workflow/rules").iterdir()} == {".smk"}
    assert read("config/README.md").strip()
    usage = yaml.safe_load(read(".snakemake-workflow-catalog.yml"))["usage"]
    assert usage["software-stack-deployment"] == {"conda": True}
    assert usage["report"] is True
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    config = usage["mandatory-flags"]["flags"].removeprefix("--configfile ")
    assert (ROOT / config).is_file()


def test_github_runs_what_ci_runs():
    jobs = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]
    runs = {entry["name"]: entry["run"] for entry in jobs["check"]["strategy"]["matrix"]["include"]}
    assert runs["test"] == ".ci/run" and (ROOT / ".ci/run").is_file()
    assert "pre-commit run --all-files" in runs["lint"]


@pytest.mark.parametrize(
    "tool", ["ruff check", "ruff format", "snakefmt", "mypy", "check-jsonschema"]
)
def test_a_hook_runs_what_make_lint_runs(tool):
    repos = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    (local,) = [repo["hooks"] for repo in repos if repo["repo"] == "local"]
    assert any(hook["entry"].startswith(f".venv/bin/{tool}") for hook in local)
    assert f"$(BIN)/{tool}" in read("Makefile")


def test_the_files_that_contributing_names_are_there():
    text = read("CONTRIBUTING.md")
    named = re.findall(r"`((?:[\w.]+/)+(?:[\w.-]+)?)`", text)
    assert len(named) > 10
    folders = (ROOT, ROOT / "workflow/legor1")
    assert not [name for name in named if not any((f / name).exists() for f in folders)]


def test_contributing_names_every_kind_of_test():
    targets = set(
        re.findall(r"^(test[\w-]*|rehearsal|lint)(?= |:)", read("Makefile"), re.MULTILINE)
    )
    assert (
        set(re.findall(r"^\| `make ([\w-]+)` \|", read("CONTRIBUTING.md"), re.MULTILINE)) == targets
    )
