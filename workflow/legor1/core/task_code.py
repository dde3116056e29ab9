"""Which code of a task a stage depends on: that behind the fields of ``TASK`` that it reads.

All of a task stands in one module, yet a changed metric must not convert the prompts again. So of
such a module only those definitions count that the fields name, directly or not. The functions that
a decorator marks (``@reward``) count under the decorator's name.
"""

import ast
from collections.abc import Collection, Iterator

EVERYTHING = ("TASK", "reward")
READ = {  # by the stages that read any
    "index": ("rows",),
    "split": ("answer",),
    "convert": ("prompt", "answer"),
    "export": ("answer",),
    "audit": ("prompt", "answer"),
    "build-base": ("prompt",),
    "train grpo": ("format", "reward"),
    "baselines": ("baselines",),
    "score": ("scoring", "summary"),
    "compare": ("scoring",),
    "reward": ("format", "is_solution", "reward"),
    "report": EVERYTHING,
    "figure1": EVERYTHING,
}


def behind(fields: Collection[str], module: ast.Module) -> ast.Module:
    """Return the statements of a task's module that ``fields`` depend on, in their order."""
    module = ast.Module([part for node in module.body for part in _apart(node)], [])
    defined = {name: node for node in module.body for name in _defines(node)}
    roots = list(_roots(fields, module))
    reached: set[ast.AST] = {root for root in roots if isinstance(root, ast.stmt)}
    new = {name for root in roots for name in _names(root)}
    while nodes := {defined[name] for name in new if name in defined} - reached:
        reached |= nodes
        new = {name for node in nodes for name in _names(node)}
    values: list[ast.stmt] = [ast.Expr(root) for root in roots if isinstance(root, ast.expr)]
    return ast.Module([node for node in module.body if node in reached] + values, [])


def _roots(fields: Collection[str], module: ast.Module) -> Iterator[ast.stmt | ast.expr]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and set(_decorators(node)) & set(fields):
            yield node
        elif isinstance(node, ast.Assign) and "TASK" in _defines(node):
            call = node.value
            if "TASK" in fields:
                yield node
            elif isinstance(call, ast.Call):
                yield from (word.value for word in call.keywords if word.arg in ("name", *fields))


def _decorators(node: ast.FunctionDef) -> Iterator[str]:
    for mark in node.decorator_list:
        yield from _names(mark.func if isinstance(mark, ast.Call) else mark)


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
