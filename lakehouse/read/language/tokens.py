"""Lucene text -> tokens for luqum's grammar, with what that grammar lacks written into them.

`&&`, `||` and `!` become operators, a blank between two operands becomes AND (so that it binds like AND), and a
minus that touches a number belongs to it after `:`, `>` and `<`, inside a range, and in a group of a field's values.
What Headwater does not support is refused here, where its place is known; so is nesting, before any code recurses
over it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from luqum import parser as grammar
from luqum.exceptions import IllegalCharacterError, ParseSyntaxError
from luqum.head_tail import TokenValue
from luqum.tree import Item, Word

from contracts.errors import QueryError
from text.numbers import number_in

_ENDS_OPERAND = {"TERM", "PHRASE", "RPAREN", "RBRACKET", "TO"}
_STARTS_OPERAND = {"TERM", "PHRASE", "LPAREN", "LBRACKET", "LESSTHAN", "GREATERTHAN", "PLUS", "MINUS", "NOT", "TO"}
_BEFORE_NUMBER = {"COLUMN", "LESSTHAN", "GREATERTHAN", "LBRACKET"}
_TEXTS = {"body", "message"}
_OPERATORS = {"&&": "AND_OP", "||": "OR_OP"}

_UNSUPPORTED = {
    "APPROX": ('"~" (fuzzy and proximity search) is not supported', "use wildcards, such as connect*, or a phrase"),
    "BOOST": ('"^" (boost) is not supported', "leave it out: answers are sorted by time"),
    "REGEX": ("regular expressions are not supported", "use wildcards, such as err*; put a path in double quotes"),
}
_ILLEGAL = {
    '"': ("this double quote is never closed", 'close it, or write \\" for the character itself'),
    "/": ('"/" cannot start a word', "put the text in double quotes, or write \\/"),
    "'": ("a single quote cannot start a word", "phrases stand in double quotes; or write \\'"),
    "\\": ("this backslash escapes nothing", "write \\\\ for the character itself"),
}

_local = threading.local()


class Token(Protocol):
    """What the grammar reads of a token: its type, a luqum item or `TokenValue`, and its place in the text."""

    type: str
    value: Any
    lexpos: int


def parse_tree(text: str, max_depth: int) -> Item:
    """Parse `text` (not blank) by luqum's grammar. Thread-safe: the lexer is a clone of this thread's own.

    Raises:
        QueryError: With the position of the first character at fault.
    """
    tokens = _tokens(text, max_depth)
    served: list[Token | None] = []

    def next_token() -> Token | None:
        token = tokens[len(served)] if len(served) < len(tokens) else None
        served.append(token)
        return token

    try:
        return grammar.parser.parse(lexer=_lexer(), tokenfunc=next_token)
    except ParseSyntaxError as error:
        raise _unexpected(served[-1], text) from error


def _lexer() -> Any:
    if not hasattr(_local, "lexer"):
        _local.lexer = grammar.lexer.clone()
    return _local.lexer


def _unexpected(token: Token | None, text: str) -> QueryError:
    if token is None:
        return QueryError("the query ends where a word is expected", position=len(text.rstrip()))
    hint = ""
    if token.type in {"AND_OP", "OR_OP", "NOT"}:
        hint = f'an operator stands between words; to search for it as a word, write "{token.value}" in double quotes'
    elif token.type == "COLUMN":
        hint = 'a value with ":" stands in double quotes, or write \\:'
    return QueryError(f'unexpected "{str(token.value)[:40]}"', position=token.lexpos, hint=hint)


def _tokens(text: str, max_depth: int) -> list[Token]:
    tokens: list[Token] = []
    groups: list[bool] = []  # of every open parenthesis: whether it is a group of a field's values
    in_range = False
    for token in _balanced(_lexed(text), max_depth):
        before = tokens[-1] if tokens else None
        if token.type == "LPAREN":
            groups.append(_is_field(tokens) if before and before.type == "COLUMN" else bool(groups) and groups[-1])
        elif token.type == "RPAREN":
            groups.pop()
        if before and before.type == "MINUS" and token.type == "TERM" and token.lexpos == before.lexpos + 1:
            owner = tokens[-2].type if len(tokens) > 1 else ""
            in_group = bool(groups) and groups[-1] and number_in(token.value.value) is not None
            if owner in _BEFORE_NUMBER or (in_range and owner == "TO") or in_group:
                tokens[-1] = _negative(token)
                continue
        if before and not in_range and before.type in _ENDS_OPERAND and token.type in _STARTS_OPERAND:
            tokens.append(_token("AND_OP", "AND", token.lexpos))
        tokens.append(token)
        in_range = token.type == "LBRACKET" or (in_range and token.type != "RBRACKET")
    return tokens


def _is_field(tokens: list[Token]) -> bool:
    """Whether the colon that stands last follows a field other than the text, in which a sign is no part of a word."""
    return len(tokens) > 1 and str(tokens[-2].value) not in _TEXTS


def _lexed(text: str) -> list[Token]:
    lexer = _lexer()
    lexer.input(text)
    tokens: list[Token] = []
    next_token: Callable[[], Token | None] = lexer.token
    try:
        while (token := next_token()) is not None:
            if token.type in _UNSUPPORTED:
                message, hint = _UNSUPPORTED[token.type]
                raise QueryError(message, code="unsupported", position=token.lexpos, hint=hint)
            if token.type == "TERM" and token.value.value in _OPERATORS:
                token = _token(_OPERATORS[token.value.value], token.value.value, token.lexpos)
            elif token.type == "TERM" and token.value.value.startswith("!"):
                lexer.lexpos = token.lexpos + 1
                token = _token("NOT", "!", token.lexpos)
            tokens.append(token)
    except IllegalCharacterError as error:
        found = text[lexer.lexpos]
        message, hint = _ILLEGAL.get(found, (f'"{found}" cannot stand here', "put the text in double quotes"))
        raise QueryError(message, position=lexer.lexpos, hint=hint) from error
    return tokens


def _balanced(tokens: list[Token], max_depth: int) -> list[Token]:
    opened: list[int] = []
    for token in tokens:
        if token.type == "LPAREN":
            opened.append(token.lexpos)
            if len(opened) > max_depth:
                raise too_deep(token.lexpos, max_depth)
        elif token.type == "RPAREN":
            if not opened:
                raise QueryError('this ")" closes nothing', position=token.lexpos, hint="remove it, or write \\)")
            opened.pop()
    if opened:
        raise QueryError('this "(" is never closed', position=opened[-1], hint='add ")", or write \\(')
    return tokens


def too_deep(position: int | None, max_depth: int) -> QueryError:
    hint = "write it with fewer parentheses and NOTs"
    return QueryError(f"nested deeper than {max_depth} levels", code="too_deep", position=position, hint=hint)


def _negative(token: Token) -> Token:
    word = Word(f"-{token.value.value}", pos=token.lexpos - 1, size=token.value.size + 1)
    made = _token("TERM", "", token.lexpos - 1)
    made.value = word
    return made


def _token(kind: str, text: str, position: int) -> Token:
    token: Token = grammar.lex.LexToken()
    token.type = kind
    token.value = TokenValue(text)
    token.value.pos = position
    token.value.size = len(text)
    token.lexpos = position
    return token
