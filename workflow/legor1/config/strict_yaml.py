"""YAML as a config may have it: a key once in its mapping, and aliases within bounds."""

import yaml

MOST_NODES = 100_000  # keys and values of a file; a few lines of aliases can stand for billions
ERRORS = (yaml.YAMLError, ValueError, RecursionError)  # what ``load`` raises


def load(text: str) -> object:
    """Return the value of the one document in ``text``; raises one of ``ERRORS``."""
    return _Loader(text).get_single_data()


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.sizes: dict[yaml.Node, int] = {}  # nodes at and below each, aliases written out

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        alias, mark = self.check_event(yaml.AliasEvent), self.peek_event().start_mark
        node = super().compose_node(parent, index)
        if alias:
            if node not in self.sizes:
                raise yaml.MarkedYAMLError(problem="an alias of what it is in", problem_mark=mark)
            return node
        inner = [] if isinstance(node, yaml.ScalarNode) else node.value
        if isinstance(node, yaml.MappingNode):
            _refuse_repeats([key for key, _ in inner])
            inner = [part for pair in inner for part in pair]
        self.sizes[node] = 1 + sum(self.sizes[each] for each in inner)
        if self.sizes[node] > MOST_NODES:
            problem = f"more than {MOST_NODES} keys and values, aliases written out"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)
        return node


def _refuse_repeats(keys: list[yaml.Node]) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key in keys:
        name, line = (key.tag, str(key.value)), key.start_mark.line + 1
        if name in lines:
            problem = f"the key {key.value} is in line {lines[name]} already"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        lines[name] = line
