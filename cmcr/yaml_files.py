"""YAML of configs and of descriptions of data sets: plain values, each key once, and no more than was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from cmcr.reading import check_encodable, read_text

#: The longest config of this repository has 20 kB.
MAX_BYTES = 2**22
#: Values that a file may stand for once all its references are followed. A line of references to lines of references
#: stands for billions; whoever walks or prints them does not come to an end.
MAX_VALUES = 100_000


def read_yaml(path: Path) -> Any:
    """Return the plain values in a file; no tag makes an object of anything else.

    Raises:
        OSError: the file is missing, cannot be read, or is too large.
        ValueError: it is no YAML, has a tag for more than plain values, a key twice in one mapping, a reference to a
            value inside of itself, or half a character, or stands for too many values.
    """
    text = read_text(path, MAX_BYTES)
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {}, set())
        return loader.construct_document(node)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except Exception as error:  # of a tag that does not fit its value, PyYAML raises nearly anything
        raise ValueError(str(error) or type(error).__name__) from None


def _count(node: Node, known: dict[int, int], above: set[int]) -> int:
    """Return how many values a node stands for, and refuse what `read_yaml` refuses."""
    if id(node) in above:
        raise ValueError(f"a reference to a value inside of itself, {_place(node)}")
    if id(node) not in known:
        if isinstance(node, ScalarNode):
            check_encodable(node.value)
        above.add(id(node))
        known[id(node)] = 1 + sum(_count(below, known, above) for below in _below(node))
        above.discard(id(node))
        if known[id(node)] > MAX_VALUES:
            raise ValueError(f"it stands for more than {MAX_VALUES} values, {_place(node)}")
    return known[id(node)]


def _place(node: Node) -> str:
    return f"in line {node.start_mark.line + 1}"


def _below(node: Node) -> Iterator[Node]:
    if isinstance(node, SequenceNode):
        yield from node.value
    elif isinstance(node, MappingNode):
        keys = set()
        for key, value in node.value:
            if isinstance(key, ScalarNode) and (key.tag, key.value) in keys:
                raise ValueError(f"the key {key.value!r} twice in one mapping, {_place(key)}")
            if isinstance(key, ScalarNode):
                keys.add((key.tag, key.value))
            yield key
            yield value
