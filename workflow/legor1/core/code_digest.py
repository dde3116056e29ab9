"""A digest of the code that a stage runs: of what it means, not of how it is written.

Import statements are followed from the stage's entry modules, without running them. Each module
counts by its syntax tree without comments, layout and docstrings, and what it imports from this
package counts by content, not by name: formatting a file, or moving it, changes no digest.

All of a task stands in one module, yet a changed metric must not convert the prompts again. So of
such a module only those definitions count that are behind the fields of ``TASK`` that the stage
reads, directly or not. Functions with a decorator (``@reward``) count under the decorator's name.
"""

import ast
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from legor1.core.files import beside, sha256

PACKAGE = Path(__file__).parents[1]
TEMPLATES = PACKAGE.parent / "report"
CAPTION = ".rst"  # of Snakemake's own report, which no stage makes
MARK = "name "  # before a name among the tokens of a syntax tree
Imported = dict[str, tuple[Path, str]]  # local name → file, and the name in it, if not the whole
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
COMMANDS = PACKAGE / "cli" / "stages.py"
METHODS = ("sft", "grpo")  # which the training's launcher starts by name
EVERYTHING = ("TASK", "reward")
READ: Mapping[str, tuple[str, ...]] = beside(__file__)  # stage → fields of a task


def digest(*stages: str, files: Iterable[Path] = ()) -> str:
    """Return a digest of the code of ``stages``, names of ``STAGES``, in 64 hexadecimal digits.

    A module counts with the data beside it, if there is a YAML file of its name; the report and its
    figure depend on their templates too. ``files`` are other files that count as code: by bytes or,
    if they are Python, by meaning.
    """
    reached = modules(*stages)
    parts = {_meaning(module) for module in reached} | {_meaning(*read) for read in _read(*stages)}
    data = (module.with_suffix(".yaml") for module in reached)
    parts |= {sha256(path) for path in data if path.is_file()}
    if EVERYTHING in map(READ.get, stages):
        templates = (path for path in TEMPLATES.rglob("*") if path.is_file())
        parts |= {sha256(path) for path in templates if path.suffix != CAPTION}
    own = (path.resolve() for path in files)
    parts |= {_meaning(path) if path.suffix == ".py" else sha256(path) for path in own}
    return _hash(sorted(parts), {})


def modules(*stages: str) -> set[Path]:
    """Return the package's files that ``stages`` import, or their imports; raises KeyError."""
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
    """Return a digest of a module, or of what is behind ``fields``; imports count by content."""
    tokens, imported = _parsed(module, fields)
    return _hash(tokens, {n: f"{_shape(file)} {name}" for n, (file, name) in imported.items()})


@cache
def _shape(module: Path) -> str:
    """Return a digest of a module that does not depend on what the modules are called."""
    tokens, imported = _parsed(module)
    return _hash(tokens, {local: name for local, (_, name) in imported.items()})


def _hash(tokens: Iterable[str], names: Mapping[str, str]) -> str:
    """Return a digest of tokens, each name in ``names`` replaced by what stands for it."""
    marked = {MARK + local: MARK + name for local, name in names.items()}
    text = "\n".join(marked.get(token, token) for token in tokens)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def _parsed(module: Path, fields: tuple[str, ...] = ()) -> tuple[list[str], Imported]:
    """Return a module's syntax tree as tokens, and what it imports from this package."""
    tree = _tree(module)
    tokens: list[str] = []
    imports: list[ast.Import | ast.ImportFrom] = []
    _write(behind(fields, tree) if fields else tree, tokens, imports)
    imported: Imported = {}
    for node in imports:
        for alias in node.names:
            whole = _file(
                f"{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
            )
            file = whole if whole.is_file() else _file(str(getattr(node, "module", "")))
            name = "" if file == whole else alias.name
            imported[alias.asname or alias.name] = file, name
    return tokens, imported


@cache
def _tree(module: Path) -> ast.Module:
    return ast.parse(module.read_bytes())


def _write(node: object, tokens: list[str], imports: list[ast.Import | ast.ImportFrom]) -> None:
    """Append a syntax tree as tokens without docstrings; ``imports`` gets those of this package."""
    if isinstance(node, ast.Name):
        tokens.append(MARK + node.id)
    elif isinstance(node, list):
        tokens.append("[")
        for item in node:
            if isinstance(item, ast.Import | ast.ImportFrom) and _is_ours(item):
                imports.append(item)
            else:
                _write(item, tokens, imports)
        tokens.append("]")
    elif isinstance(node, ast.AST):
        tokens.append(type(node).__name__)
        documented = isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None
        for field in node._fields:
            value = getattr(node, field, None)
            if value is not None and value != []:  # as other releases of Python leave them out
                tokens.append(field)
                _write(value[1:] if documented and field == "body" else value, tokens, imports)
    else:
        tokens.append(repr(node))


def behind(fields: Collection[str], module: ast.Module) -> ast.Module:
    """Return the statements of a task's module that ``fields`` depend on, in their order."""
    body = [part for node in module.body for part in _apart(node)]
    defined = {name: node for node in body for name in _defines(node)}
    roots = [root for node in body for root in _roots(fields, node)]
    reached: set[ast.AST] = {root for root in roots if isinstance(root, ast.stmt)}
    new = {name for root in roots for name in _names(root)}
    while nodes := {defined[name] for name in new if name in defined} - reached:
        reached |= nodes
        new = {name for node in nodes for name in _names(node)}
    values: list[ast.stmt] = [ast.Expr(root) for root in roots if isinstance(root, ast.expr)]
    return ast.Module([node for node in body if node in reached] + values, [])


def _roots(fields: Collection[str], node: ast.stmt) -> Iterator[ast.stmt | ast.expr]:
    """Yield what ``fields`` name of a statement: the whole, or arguments of ``TASK``."""
    if isinstance(node, ast.FunctionDef):
        marks = [m.func if isinstance(m, ast.Call) else m for m in node.decorator_list]
        if {name for mark in marks for name in _names(mark)} & set(fields):
            yield node
    elif isinstance(node, ast.Assign) and "TASK" in _defines(node):
        if "TASK" in fields:
            yield node
        elif isinstance(node.value, ast.Call):
            yield from (k.value for k in node.value.keywords if k.arg in ("name", *fields))


def _apart(node: ast.stmt) -> list[ast.stmt]:
    """Return an import as one statement a name: each counts by itself."""
    if isinstance(node, ast.ImportFrom):
        return [ast.ImportFrom(node.module, [alias], node.level) for alias in node.names]
    return [node]


def _defines(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement at a module's top defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (name for target in targets for name in _names(target))


def _names(node: ast.AST) -> Iterator[str]:
    return (child.id for child in ast.walk(node) if isinstance(child, ast.Name))


def _is_ours(node: ast.Import | ast.ImportFrom) -> bool:
    name = (node.module or "") if isinstance(node, ast.ImportFrom) else node.names[0].name
    return name.split(".")[0] == PACKAGE.name


def _imported(module: Path, fields: tuple[str, ...] = ()) -> set[Path]:
    """Return the files that ``module`` imports, the packages above them included."""
    files = {file for file, _ in _parsed(module, fields)[1].values()}
    above = {folder / "__init__.py" for file in files for folder in file.parents}
    return files | {path for path in above if path.is_relative_to(PACKAGE) and path.is_file()}


def _file(name: str) -> Path:
    """Return the file of a module or package that is named from this package's name on."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


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
