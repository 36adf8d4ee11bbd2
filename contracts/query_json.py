"""The query tree -> JSON and back: the form of stored queries, which must mean the same years later."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.query import All, And, Exists, Node, Not, Or, Range, Term, Wildcard

_encode = msgspec.json.Encoder(order="deterministic").encode


def to_json(nodes: dict[str, Node]) -> str:
    """Trees by name as canonical JSON: the same trees give the same text."""
    return _encode({name: _plain(node) for name, node in nodes.items()}).decode()


def from_json(text: str) -> dict[str, Node]:
    """Trees by name.

    Raises:
        ValueError: `to_json` did not make this text.
    """
    try:
        return {name: _node(plain) for name, plain in msgspec.json.decode(text, type=dict[str, list[Any]]).items()}
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"the text is not a stored query tree: {error!r}") from error


def _plain(node: Node) -> list[Any]:
    match node:
        case All():
            return ["all"]
        case And(nodes):
            return ["and", *map(_plain, nodes)]
        case Or(nodes):
            return ["or", *map(_plain, nodes)]
        case Not(inner):
            return ["not", _plain(inner)]
        case Term(field, value):
            return ["term", field, value]
        case Wildcard(field, pattern):
            return ["wildcard", field, pattern]
        case Range(field, low, high, with_low, with_high):
            return ["range", field, low, high, with_low, with_high]
        case Exists(field):
            return ["exists", field]


def _node(plain: list[Any]) -> Node:
    name, parts = plain[0], plain[1:]
    if name == "and":
        return And(tuple(map(_node, parts)))
    if name == "or":
        return Or(tuple(map(_node, parts)))
    if name == "not":
        return Not(_node(parts[0]))
    leaves = {"all": All, "term": Term, "wildcard": Wildcard, "range": Range, "exists": Exists}
    node: Node = leaves[name](*parts)
    return node
