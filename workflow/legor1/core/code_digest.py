"""Which files of the package a stage depends on, so that a rule can declare its code as input.

Read off the import statements without running them: the whole file counts, so an import inside a
function does too.
"""

import ast
from functools import cache
from pathlib import Path

from legor1.core.task_code import READ, behind

PACKAGE = Path(__file__).parents[1]
REPORT = PACKAGE.parent / "report"
CAPTION = ".rst"  # of Snakemake's own report, which no stage makes

# The command line is no stage's code: a new option must not rerun what does not use it.
STAGES = {
    "synthesize": ["data.synthetic.dataset"],
    "fetch": ["data.download", "data.sources"],
    "manifest": ["data.manifest"],
    "index": ["data.lego_arta.index"],
    "fingerprint": ["data.fingerprints"],
    "split": ["data.split"],
    "convert": ["data.conversations"],
    "export": ["data.export.export"],
    "audit": ["data.audit.audit"],
    "build-base": ["training.tiny_base"],
    "train sft": ["training.launch", "training.sft"],
    "train grpo": ["training.launch", "training.grpo"],
    "pull": ["publishing.pull_adapter"],
    "predict": ["inference.predict"],
    "gather": ["inference.gather"],
    "baselines": ["tasks.baselines"],
    "score": ["evaluation.scoring"],
    "compare": ["evaluation.comparison"],
    "reward": ["evaluation.rollout_rewards"],
    "table": ["evaluation.table"],
    "report": ["report.page"],
    "figure1": ["report.page"],
}


def code(stage: str) -> list[Path]:
    """Return the absolute paths of the files that ``stage`` depends on, sorted.

    The report and its figure depend on their templates too.

    Raises:
        KeyError: there is no such stage.
    """
    reached: set[Path] = set()
    for name in STAGES[stage]:
        _follow(PACKAGE.joinpath(*name.split(".")).with_suffix(".py"), reached)
    if stage in READ:
        for task in tasks():
            reached.add(task)
            for imported in _imported(task, READ[stage]):
                _follow(imported, reached)
    if stage in ("report", "figure1"):
        files = (path for path in REPORT.rglob("*") if path.is_file())
        reached |= {path for path in files if path.suffix != CAPTION}
    return sorted(reached)


def tasks() -> list[Path]:
    """Return the modules that define a task: they are found by name, so no import leads there."""
    modules = sorted((PACKAGE / "tasks").glob("*.py"))
    return [path for path in modules if "\nTASK = " in path.read_text(encoding="utf-8")]


def _follow(module: Path, reached: set[Path]) -> None:
    if module not in reached:
        reached.add(module)
        for imported in _imported(module):
            _follow(imported, reached)


@cache
def _imported(module: Path, fields: tuple[str, ...] = ()) -> frozenset[Path]:
    """Return the package's files that ``module`` imports, the packages above them included.

    Of a task's module, only what ``fields`` depend on counts.
    """
    names, tree = set(), ast.parse(module.read_text(encoding="utf-8"))
    for node in ast.walk(behind(fields, tree) if fields else tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(path for name in names for path in _files(name))


def _files(name: str) -> list[Path]:
    """Return the file of the module ``name`` and those of the packages above it.

    Of a name that is no module (a function, another package) there are none but the latter.
    """
    first, *parts = name.split(".")
    if first != PACKAGE.name:
        return []
    folders = [PACKAGE.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    candidates = [folder / "__init__.py" for folder in folders]
    candidates.append(PACKAGE.joinpath(*parts).with_suffix(".py"))
    return [path for path in candidates if path.is_file()]
