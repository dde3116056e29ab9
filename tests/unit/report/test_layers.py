import networkx as nx
import pytest

from legor1.report import layers


def test_every_edge_leads_to_the_right_and_no_two_nodes_share_a_place():
    nodes = [*"abcdefg"]
    edges = {("a", "b"), ("b", "c"), ("a", "d"), ("d", "c"), ("c", "f"), ("e", "f"), ("a", "g")}
    layout = layers.arrange(nodes, edges)
    assert len(set(layout.places.values())) == len(nodes)
    for (one, other), path in layout.paths.items():
        assert (path[0], path[-1]) == (layout.places[one], layout.places[other])
        columns = [column for column, _ in path]
        assert columns == [*range(columns[0], columns[-1] + 1)] and len(columns) > 1
    assert layout.places["e"][0] == layout.places["f"][0] - 1  # right before what needs it


def test_lines_do_not_pass_through_boxes():
    edges = {("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")}
    layout = layers.arrange([*"abcd"], edges)
    bends = layout.paths["a", "d"][1:-1]
    assert len(bends) == 2 and not {*bends} & {*layout.places.values()}


def test_crossings_are_untangled():
    layout = layers.arrange([*"abcd"], {("a", "d"), ("b", "c")})
    (_, a), (_, b), (_, c), (_, d) = (layout.places[name] for name in "abcd")
    assert (a < b) == (d < c)


def test_a_cycle_is_an_error():
    with pytest.raises(nx.NetworkXUnfeasible, match="cycle"):
        layers.arrange([*"ab"], {("a", "b"), ("b", "a")})


def test_of_a_circle_the_edge_that_closes_it_is_left_out():
    edges = [("a", "b"), ("b", "c"), ("c", "a"), ("b", "b"), ("a", "c")]
    assert layers.without_circles(edges) == {("a", "b"), ("b", "c"), ("a", "c")}
