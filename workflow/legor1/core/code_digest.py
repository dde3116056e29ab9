"""A digest of the code that a stage runs: of what it means, not of how it is written.

Import statements are followed from the stage's entry modules, without running them. Each module
counts by its syntax tree without comments, layout and docstrings, and what it imports from this
package counts by content, not by name: formatting a file, or moving it, changes no digest.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from legor1.core.files import sha256
from legor1.core.task_code import READ, behind

PACKAGE = Path(__file__).parents[1]
TEMPLATES = PACKAGE.parent / "report"
CAPTION = ".rst"  # of Snakemake's own report, which no stage makes
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
COMMANDS = PACKAGE / "cli" / "stages.py"
METHODS = ("sft", "grpo")  # which the training's launcher starts by name


def digest(*stages: str, files: Iterable[Path] = ()) -> str:
    """Return a digest of the code of ``stages``, in 64 hexadecimal digits.

    The report and its figure depend on their templates too.

    Args:
        stages: names of ``STAGES``.
        files: others that count as code, by their bytes or, if they are Python, by their meaning.

    Raises:
        KeyError: there is no such stage.
    """
    parts = {_meaning(module) for module in modules(*stages)}
    parts |= {_meaning(*read) for read in _read(*stages)}
    if {"report", "figure1"} & set(stages):
        templates = (path for path in TEMPLATES.rglob("*") if path.is_file())
        parts |= {sha256(path) for path in templates if path.suffix != CAPTION}
    parts |= {_meaning(path) if path.suffix == ".py" else sha256(path) for path in files}
    return _hash("\n".join(sorted(parts)))


def modules(*stages: str) -> set[Path]:
    """Return the files of the package that ``stages`` import, directly or not.

    Raises:
        KeyError: there is no such stage.
    """
    reached: set[Path] = set()
    new = {_file(f"{PACKAGE.name}.{name}") for stage in stages for name in STAGES[stage]}
    new |= {path for read in _read(*stages) for path in _imported(*read)}
    while new:
        reached |= new
        new = {path for module in new for path in _imported(module)} - reached
    return reached


def _read(*stages: str) -> set[tuple[Path, tuple[str, ...]]]:
    """Return the tasks' modules, which no import names, and what ``stages`` read of each."""
    tasks = [path for path in (PACKAGE / "tasks").glob("*.py") if b"\nTASK = " in path.read_bytes()]
    return {(path, READ[stage]) for stage in stages if stage in READ for path in tasks}


@cache
def _meaning(module: Path, fields: tuple[str, ...] = ()) -> str:
    """Return a digest of a module, in which what it imports from here counts by content.

    Of a task's module, only what ``fields`` depend on counts.
    """
    tree, imported = _parsed(module, fields)
    names = {local: f"{_shape(file)} {name}" for local, (file, name) in imported.items()}
    return _hash(str(_plain(tree, names)))


@cache
def _shape(module: Path) -> str:
    """Return a digest of a module that does not depend on what the modules are called."""
    tree, imported = _parsed(module)
    return _hash(str(_plain(tree, {local: name for local, (_, name) in imported.items()})))


def _plain(node: object, names: dict[str, str]) -> object:
    """Return a syntax tree as nested lists, without the imports from here and without docstrings.

    Args:
        names: what stands for the names that are imported from here.
    """
    if isinstance(node, list):
        return [_plain(item, names) for item in node if not _is_ours(item)]
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    return [type(node).__name__, *([name, _plain(value, names)] for name, value in fields.items())]


def _is_ours(node: object) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] == PACKAGE.name
    return isinstance(node, ast.Import) and node.names[0].name.split(".")[0] == PACKAGE.name


@cache
def _parsed(
    module: Path, fields: tuple[str, ...] = ()
) -> tuple[ast.Module, dict[str, tuple[Path, str]]]:
    """Return a module's syntax tree, and what it imports from this package.

    The latter is, by local name, the file and the name in it, which is empty for a whole module.
    """
    tree = ast.parse(module.read_bytes())
    tree = behind(fields, tree) if fields else tree
    imported = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _is_ours(node):
            for alias in node.names:
                whole = _file(f"{node.module}.{alias.name}")
                file = whole if whole.is_file() else _file(str(node.module))
                name = "" if file == whole else alias.name
                imported[alias.asname or alias.name] = file, name
        elif isinstance(node, ast.Import) and _is_ours(node):
            imported |= {alias.name: (_file(alias.name), "") for alias in node.names}
    return tree, imported


def _imported(module: Path, fields: tuple[str, ...] = ()) -> set[Path]:
    """Return the files that ``module`` imports, the packages above them included."""
    files = {file for file, _ in _parsed(module, fields)[1].values()}
    above = {folder / "__init__.py" for file in files for folder in file.parents}
    return files | {path for path in above if path.is_relative_to(PACKAGE) and path.is_file()}


def _file(name: str) -> Path:
    """Return the file of a module or package that is named from this package's name on."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _entries() -> dict[str, list[str]]:
    """Return stage → the modules that its function in ``COMMANDS`` imports.

    The command line itself is no stage's code: a new option must not rerun what does not use it.
    """
    stages = {}
    for function in ast.parse(COMMANDS.read_bytes()).body:
        if isinstance(function, ast.FunctionDef) and function.decorator_list:
            stages[function.name.replace("_", "-")] = sorted(_modules_in(function))
    launcher = stages.pop("train")
    trainings = {f"train {name}": [*launcher, f"training.{name}"] for name in METHODS}
    return stages | trainings


def _modules_in(function: ast.FunctionDef) -> set[str]:
    """Return the modules below the package that a function imports."""
    files = set()
    for line in ast.walk(function):
        if isinstance(line, ast.ImportFrom):
            named = [_file(f"{line.module}.{alias.name}") for alias in line.names]
            files |= {file if file.is_file() else _file(str(line.module)) for file in named}
    return {".".join(file.relative_to(PACKAGE).with_suffix("").parts) for file in files}


STAGES = _entries()
