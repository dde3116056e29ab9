"""The documentation holds: each command runs, each link leads somewhere, each key exists.

A page's commands are run in its order, in a copy of the project, after the files and diffs that the
page itself gives. ``SUBSTITUTES`` says which of them cannot run here, and why; all others run as
they stand, so that a command that does not exist fails. What a page prints below a command must be
in its output. Commands that need a finished run have one in the slow tests: the demo, made as small
as the smoke test; commands that need none run there no second time.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import cloned_study
import clones
import documents
import pytest
import yaml
from documents import PAGES
from study import ROOT, Study

from legor1.config.settings import load
from legor1.core.provenance import RECORD

DOCS = [page for page in PAGES if page.startswith("docs/")]


class Substitute(NamedTuple):
    """What is run instead of a command: if nothing, ``used`` are other files that use ``held``."""

    pattern: str
    instead: str
    why: str
    used: str = ""
    held: str = ""


CLUSTER = "there is no cluster here"
INDEX = "installs from a package index"
SUBSTITUTES = [  # each that fits is applied, in this order
    Substitute(r"(.*)\bresults/study\b(.*)", r"\1results/demo\2", "the full study needs GPUs"),
    Substitute(
        r"make (setup|lock|lint|docs|test\S*|benchmark\S*)( .*)?",
        r"make --dry-run \1\2",
        "installs something, or is what runs this test",
    ),
    Substitute(r"make (.*)", r"make --old-file=setup \1", "the environment is linked"),
    Substitute(
        r".* --software-deployment-method conda .*",
        "",
        "there is no conda here; these plans are made with a stand-in",
        "docs/reruns.md",  # whose table tests/pipeline/test_reruns.py holds
        "--software-deployment-method",
    ),
    Substitute(
        r"(\.venv/bin/snakemake)(?!.* (?:-n|--dry-run|--unlock|--report)\b)(.*)",
        r"\1 --dry-run\2",
        "trains for minutes, or needs a GPU, a cluster or the network",
    ),
    Substitute(r"scancel .*", "", CLUSTER, "tests/cluster/*.py", "scancel"),
    Substitute(r"grep .*SLURM run ID.*", "", CLUSTER, "tests/support/*.py", "SLURM run ID"),
    Substitute(r"squeue .*", "", CLUSTER, "profiles/slurm/config.yaml", "squeue"),
    Substitute(r"(sinfo|sacctmgr|tmux) .*", "", "asks the site, or is the user's own terminal"),
    Substitute(r"export .*", "", "each command has a shell of its own here"),
    Substitute(r"(podman|apptainer) .*", "", "there is no container engine here"),
    Substitute(r"python3 -m venv .*", "", INDEX),
    Substitute(r"\.venv\S*/bin/pip install .*", "", INDEX),
    Substitute(r"\.venv-report/bin/(.*)", r".venv/bin/\1", "all stages share one environment here"),
    Substitute(
        r".*/rocrate-validator .*",
        "",
        "fetches a JSON-LD context",
        "tests/support/crates.py",
        "rocrate",
    ),
    Substitute(r"tail -f (.*)", r"tail \1", "would not end"),
    Substitute(r"(\S+/tensorboard) (.*)", r"\1 --inspect \2", "would not end"),
]
NEED_A_RUN = r"--report |\bresults\b|\bpublished\b|make (demo|crate|publish|restore)\b|git "


def needs_a_run(command: str, printed: str) -> bool:
    plans = "snakemake" in command and printed
    return bool(plans or re.search(NEED_A_RUN, command))


PAGES_ON_A_RUN = [
    page
    for page in PAGES
    if any(
        needs_a_run(*each) for block in documents.blocks(page) for each in documents.commands(block)
    )
]
# Commands that end with an error on purpose: what the user can put right.
REFUSED = {r".*/legor1 check": "there may be no GPU", r".*/legor1 plan --gpu A100-40": "too small"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a copy of the project as it is cloned, with the environment of the tests."""
    folder = tmp_path_factory.mktemp("docs") / "project"
    Study(folder, with_base=True)
    junk = shutil.ignore_patterns("__pycache__")
    for part in ("config", "docs", "tests"):
        shutil.copytree(ROOT / part, folder / part, ignore=junk)
    for part in ("Makefile", "README.md", "CONTRIBUTING.md", "pyproject.toml", "results/README.md"):
        (folder / part).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / part, folder / part)
    clones.start(folder)
    (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
    return folder


@pytest.fixture(scope="module")
def planned():
    """Return the plans that a page has made already: another does not make them again."""
    return set()


@pytest.fixture(scope="module")
def finished(project, own_dvc):
    """Return the same after the demo, which is as small as the smoke test there."""
    configs = project / "workflow/configs"
    small = (configs / "smoke.yaml").read_text().replace("run: smoke", "run: demo")
    (configs / "demo.yaml").write_text(small.replace("shards: 2", "shards: 1"))
    done = run(project, "make --old-file=setup demo")
    assert done.returncode == 0, done.stdout
    return project


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page, project, planned, tmp_path):
    folder = copy(project, tmp_path)
    for command, printed in prepared(page, folder):
        plan = plan_of(page, command, printed)
        if plan not in planned and not needs_a_run(command, printed):
            check(folder, command, printed)
            planned |= {plan} - {None}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_ON_A_RUN)
def test_the_commands_of_a_page_run_where_the_demo_is_finished(page, finished, tmp_path):
    folder = copy(finished, tmp_path)
    for command, printed in prepared(page, folder):
        if needs_a_run(command, printed):
            check(folder, command, printed)


@pytest.mark.slow
def test_the_finished_demo_goes_on_in_a_fresh_clone(finished, tmp_path):
    overlay = ["--configfile", "workflow/configs/demo.yaml"]
    study = Study.lying_in(copy(finished, tmp_path), overlay)
    cloned_study.publish(study, "results/demo")
    assert study.plan() == {}

    report = (study.folder / "results/demo/report.html").read_text()
    outs = yaml.safe_load((study.folder / "published/demo.dvc").read_text())["outs"]
    hidden = {one["path"] for one in outs if one["md5"] not in report}
    results = {path for path in hidden if not path.endswith(RECORD)}
    beside = {"gallery.html", "gallery_images", "tables"}
    assert results == {"report.html", "snakemake.json"} | beside

    clone = cloned_study.clone(study, tmp_path / "clone")
    cloned_study.legor1(clone, "restore", "results/demo")
    assert clone.plan() == {}
    more = "evaluation={replicates: 99}"
    done = clone.snakemake("--config", more)
    assert done.returncode == 0, done.stdout
    assert not (clone.folder / "results/demo/work").exists()
    assert clone.plan("--config", more) == {}


@pytest.mark.parametrize("page", PAGES)
def test_what_is_not_run_is_held_elsewhere(page):
    for command in (
        one for block in documents.blocks(page) for one, _ in documents.commands(block)
    ):
        if substituted(command):
            continue
        for word in re.findall(r"(?:envs|workflow|profiles|tests)/[\w./-]+", command):
            assert (ROOT / word).exists(), f"{page}: {command}"
        rule = next(one for one in SUBSTITUTES if re.fullmatch(one.pattern, command))
        texts = [path.read_text() for path in ROOT.glob(rule.used)] if rule.used else [""]
        assert any(rule.held in text for text in texts), f"{page}: {command}"


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_somewhere(page):
    for link in documents.links(page):
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), f"{page}: {link}"
        assert not anchor or anchor in documents.anchors(target), f"{page}: {link}"


def test_every_page_is_in_the_index():
    listed = {f"docs/{link.partition('#')[0]}" for link in documents.links("docs/README.md")}
    assert set(DOCS) - {"docs/README.md"} <= listed
    assert {"docs/README.md", "CONTRIBUTING.md"} <= set(documents.links("README.md"))
    assert "../config/README.md" in documents.links("docs/README.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_key_that_is_named_exists(page):
    config = load(ROOT / "config.yaml")
    known = set(paths(config)).union(OWN, *map(paths, config["experiments"].values()))
    assert not set(documents.dotted_keys(page)) - known


def test_every_reason_for_quarantine_is_explained():
    package = ROOT / "workflow/legor1"
    sources = [
        path.read_text() for path in (package / "core/images.py", *package.glob("data/**/*.py"))
    ]
    reasons = {reason for text in sources for reason in re.findall(r'Rejected\("([^"]+)"\)', text)}
    assert len(reasons) > 10
    assert not {
        reason for reason in reasons if f"`{reason}`" not in documents.read("docs/dataset.md")
    }


def prepared(page: str, folder: Path) -> list[tuple[str, str]]:
    """Put a page's own files and diffs into a copy of the project; return its commands."""
    found = []
    for block in documents.blocks(page):
        if block.file:
            (folder / block.file).parent.mkdir(exist_ok=True)
            (folder / block.file).write_text(block.text)
        elif block.language == "diff":
            done = run(folder, "git apply -", block.text)
            assert done.returncode == 0, f"{page}: {done.stdout}"
        found += documents.commands(block)
    return found


def check(folder: Path, command: str, printed: str) -> None:
    """Run a command, or what stands for it, and compare what it prints."""
    instead = substituted(command)
    if not instead:
        return
    done = run(folder, instead)
    refused = any(re.fullmatch(pattern, command) for pattern in REFUSED)
    assert done.returncode in ((0, 2) if refused else (0,)), f"$ {instead}\n{done.stdout}"
    assert not done.returncode or "Remedy: " in done.stdout, f"$ {instead}\n{done.stdout}"
    missing = documents.printed_in_order(printed, done.stdout)
    assert not missing, f"$ {instead}\ndoes not print: {missing}\n{done.stdout}"


def substituted(command: str) -> str:
    """Return what is run instead of a command, "" for nothing."""
    for one in SUBSTITUTES:
        command = re.sub(f"^{one.pattern}$", one.instead, command)
    return command


def plan_of(page: str, command: str, printed: str) -> tuple | None:
    """Return what a plan depends on: its command and the page's files; None for other commands."""
    command = substituted(command)
    if printed or not re.search(r"--dry-run|legor1 (plan|check)", command):
        return None
    given = [one for one in documents.blocks(page) if one.language == "diff" or one.file]
    return command, *(one for one in given if not one.file or one.file in command)


def run(folder: Path, command: str, text: str = "") -> subprocess.CompletedProcess:
    """Run a command as a user's shell would; standard error goes where standard output goes."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=os.environ
        | {"PYTHONPATH": str(folder / "workflow"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        | {
            f"GIT_{who}_{what}": "a"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def copy(project: Path, folder: Path) -> Path:
    shutil.copytree(project, folder / "project", symlinks=True)
    return folder / "project"


# Keys that config.yaml has none of: of an experiment, and of data in other formats.
OWN = ["inference.pixel_budget", "dataset.coco", "dataset.yolo", "dataset.jsonl"]


def paths(block: dict, above: str = "") -> list[str]:
    """Return the dotted path of every key in a block of the config."""
    found = []
    for key, value in block.items():
        found.append(f"{above}{key}")
        found += paths(value, f"{above}{key}.") if isinstance(value, dict) else []
    return found
