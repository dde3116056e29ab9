"""Where the nodes of a directed graph without cycles lie: in layers, with few crossings."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

Edge = tuple[str, str]
Bend = tuple[str, str, int]  # where the edge between two nodes passes through a layer
Place = str | Bend
SWEEPS = 8


@dataclass(frozen=True)
class Layout:
    """Where all lies, in whole columns from 0 and in rows about 0.

    Attributes:
        places: node → (column, row).
        paths: edge → the (column, row) of its ends and of its bends, in order.
    """

    places: Mapping[str, tuple[int, float]]
    paths: Mapping[Edge, list[tuple[int, float]]]


def without_circles(edges: Iterable[Edge]) -> set[Edge]:
    """Return the edges but for those that would close a circle with the ones before them."""
    kept: set[Edge] = set()
    for one, other in edges:
        if one != other and one not in _beyond(other, _following(kept)):
            kept.add((one, other))
    return kept


def reduced(edges: Collection[Edge]) -> set[Edge]:
    """Return the edges without those that a longer way implies."""
    following = _following(edges)
    longer = {node: set[str]() for node in following}
    for node, direct in following.items():
        for after in direct:
            longer[node] |= _beyond(after, following)
    return {(one, other) for one, other in edges if other not in longer[one]}


def _following(edges: Collection[Edge]) -> dict[str, set[str]]:
    following: dict[str, set[str]] = {}
    for one, other in edges:
        following.setdefault(one, set()).add(other)
    return following


def _beyond(node: str, following: Mapping[str, set[str]]) -> set[str]:
    """Return all nodes that can be reached from one."""
    seen, left = set[str](), [node]
    while left:
        new = following.get(left.pop(), set()) - seen
        seen |= new
        left += new
    return seen


def arrange(nodes: Sequence[str], edges: Collection[Edge]) -> Layout:
    """Return a layout in which every edge leads to a later column.

    Raises:
        ValueError: there is a cycle.
    """
    columns = _columns(nodes, edges)
    chains = {edge: _chain(edge, columns) for edge in sorted(edges)}
    layers: list[list[Place]] = [[] for _ in range(max(columns.values(), default=-1) + 1)]
    for node in nodes:
        layers[columns[node]].append(node)
    for one, chain in chains.items():
        for at, bend in enumerate(chain[1:-1], columns[one[0]] + 1):
            layers[at].append(bend)
    near: dict[Place, list[Place]] = {}
    for chain in chains.values():
        for a, b in pairwise(chain):
            near.setdefault(a, []).append(b)
            near.setdefault(b, []).append(a)
    rows = _rows(layers, near)
    column = {place: at for at, layer in enumerate(layers) for place in layer}
    where = {place: (column[place], row) for place, row in rows.items()}
    paths = {edge: [where[place] for place in chain] for edge, chain in chains.items()}
    return Layout({node: where[node] for node in nodes}, paths)


def _columns(nodes: Sequence[str], edges: Collection[Edge]) -> dict[str, int]:
    """Return each node's column: after all that it follows, and right before what follows it."""
    before = {node: [a for a, b in edges if b == node] for node in nodes}
    after = {node: [b for a, b in edges if a == node] for node in nodes}
    columns: dict[str, int] = {}
    while len(columns) < len(nodes):
        ready = [n for n in nodes if n not in columns and all(a in columns for a in before[n])]
        if not ready:
            raise ValueError("a cycle")
        columns |= {n: max((columns[a] + 1 for a in before[n]), default=0) for n in ready}
    for node in sorted(nodes, key=columns.__getitem__, reverse=True):
        if after[node]:
            columns[node] = min(columns[b] for b in after[node]) - 1
    return columns


def _chain(edge: Edge, columns: Mapping[str, int]) -> list[Place]:
    one, other = edge
    bends: list[Place] = [(one, other, at) for at in range(columns[one] + 1, columns[other])]
    return [one, *bends, other]


def _rows(layers: Sequence[list[Place]], near: Mapping[Place, list[Place]]) -> dict[Place, float]:
    """Return rows: each layer is sorted by the mean row of its neighbours, back and forth."""
    rows: dict[Place, float] = {}
    for layer in layers:
        rows |= _spread(layer)
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 else reversed(layers):
            wish = {p: mean([rows[n] for n in near.get(p, [])] or [rows[p]]) for p in layer}
            layer.sort(key=lambda place: (wish[place], str(place)))
            rows |= _spread(layer)
    return rows


def _spread(layer: Sequence[Place]) -> dict[Place, float]:
    """Return the rows of one layer: one apart, and centred."""
    return {place: at - (len(layer) - 1) / 2 for at, place in enumerate(layer)}
