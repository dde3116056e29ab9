"""Where the nodes of a directed graph without cycles lie: in layers, with few crossings."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from statistics import mean

import networkx as nx

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
    kept = nx.DiGraph()
    for one, other in edges:
        kept.add_nodes_from((one, other))
        if not nx.has_path(kept, other, one):
            kept.add_edge(one, other)
    return {*kept.edges}


def arrange(nodes: Sequence[str], edges: Collection[Edge]) -> Layout:
    """Return a layout in which every edge leads to a later column.

    Raises:
        NetworkXUnfeasible: there is a cycle.
    """
    columns = _columns(nodes, edges)
    chains = {edge: _bent(edge, columns) for edge in sorted(edges)}
    layers: list[list[Place]] = [[] for _ in range(max(columns.values(), default=-1) + 1)]
    for node in nodes:
        layers[columns[node]].append(node)
    for (one, _), bent in chains.items():
        for at, bend in enumerate(bent[1:-1], columns[one] + 1):
            layers[at].append(bend)
    near: dict[Place, list[Place]] = {}
    for bent in chains.values():
        for a, b in pairwise(bent):
            near.setdefault(a, []).append(b)
            near.setdefault(b, []).append(a)
    rows = _rows(layers, near)
    column = {place: at for at, layer in enumerate(layers) for place in layer}
    where = {place: (column[place], row) for place, row in rows.items()}
    paths = {edge: [where[place] for place in bent] for edge, bent in chains.items()}
    return Layout({node: where[node] for node in nodes}, paths)


def _columns(nodes: Sequence[str], edges: Collection[Edge]) -> dict[str, int]:
    """Return each node's column: after all that it follows, and right before what follows it."""
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    graph.add_edges_from(edges)
    generations = [*nx.topological_generations(graph)]
    columns = {node: at for at, generation in enumerate(generations) for node in generation}
    for node in chain.from_iterable(reversed(generations)):
        columns[node] = min((columns[b] - 1 for b in graph[node]), default=columns[node])
    return columns


def _bent(edge: Edge, columns: Mapping[str, int]) -> list[Place]:
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
