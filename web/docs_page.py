"""The API's page: OpenAPI document -> one plain HTML page without external resources."""

from __future__ import annotations

import html
import re
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h1,h2,h3{line-height:1.2}h2{border-top:1px solid #d0d7de;padding-top:1.2rem;margin-top:2.5rem}
code{font:14px/1.4 ui-monospace,monospace}h2 code{font-size:1.1rem}a{color:#0b5cad}
table{border-collapse:collapse;width:100%;margin:1rem 0}
td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #e3e7eb}
td:first-child,th:first-child{width:12rem;padding-left:0}
.m{display:inline-block;min-width:3.5rem;font-weight:700;color:#0b5cad}nav{line-height:1.9}
@media(prefers-color-scheme:dark){body{color:#d7dde3;background:#12161a}
td,th,h2{border-color:#2f3942}.m,a{color:#7ab8f5}}
@media(max-width:40rem){td:first-child,th:first-child{width:auto}td,th{padding:.3rem .3rem}code{overflow-wrap:anywhere}}
"""
# The framework adds this answer to every path that has parameters; our API answers with a problem instead.
_INVALID = {"Validation Error": "A parameter is not valid: `invalid_request`."}
_NOT_OURS = ("HTTPValidationError", "ValidationError")

Json = dict[str, Any]


def page(document: Json) -> str:
    """A list of all operations, then each with its parameters, body and answers, then every schema."""
    title = html.escape(document["info"]["title"])
    operations = _ordered(document["paths"])
    schemas: Json = document.get("components", {}).get("schemas", {})
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><h1>{title}</h1>'
        "<p>The same as a document: <a href='/openapi.json'>/openapi.json</a>. Send the key as "
        "<code>Authorization: Bearer KEY</code> or <code>X-API-Key: KEY</code>. Errors are "
        "<code>application/problem+json</code> with a stable <code>code</code> and a <code>detail</code> "
        "that says what to do.</p>",
        f"<nav>{'<br>'.join(_entry(path, method, about) for path, method, about in operations)}</nav>",
        *(_operation(path, method, about, schemas) for path, method, about in operations),
        "<h2>Schemas</h2>",
        *(_schema(name, schema) for name, schema in schemas.items() if name not in _NOT_OURS),
    ]
    return "".join([*parts, "</body></html>"])


def _ordered(paths: Json) -> list[tuple[str, str, Json]]:
    """Operations, with those for health last, as most readers want to send or query records."""
    found = [(path, method, about) for path, operations in paths.items() for method, about in operations.items()]
    return sorted(found, key=lambda each: "health" in each[2].get("tags", ()))


def _entry(path: str, method: str, about: Json) -> str:
    link = f"<a href='#{_place(path, method)}'><code>{html.escape(path)}</code></a>"
    return f"<span class=m>{method.upper()}</span> {link} {_text(about.get('summary', ''))}"


def _place(path: str, method: str) -> str:
    return html.escape(f"{method}{path.replace('/', '-')}", quote=True)


def _operation(path: str, method: str, about: Json, schemas: Json) -> str:
    head = f"<span class=m>{method.upper()}</span> <code>{html.escape(path)}</code>"
    parts = [f"<h2 id='{_place(path, method)}'>{head}</h2><p>{_text(about.get('summary', ''))}</p>"]
    if text := about.get("description"):
        parts.append(f"<p>{_text(text)}</p>")
    if parameters := about.get("parameters"):
        rows = "".join(_parameter(parameter, schemas) for parameter in parameters)
        parts.append(f"<table><tr><th>parameter</th><th>in</th><th>meaning</th></tr>{rows}</table>")
    for media, content in about.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body <code>{html.escape(media)}</code>: {_type(content.get('schema', {}))}</p>")
    rows = "".join(_answer(status, answer) for status, answer in about.get("responses", {}).items())
    return "".join([*parts, f"<table><tr><th>answer</th><th>meaning</th></tr>{rows}</table>"])


def _parameter(parameter: Json, schemas: Json) -> str:
    schema: Json = parameter.get("schema", {})
    about: Json = schemas.get(_name(schema), schema)
    notes = ["required"] if parameter.get("required") else []
    if values := about.get("enum"):
        notes.append("one of " + ", ".join(f"`{value}`" for value in values))
    if (default := schema.get("default")) not in (None, "", []):
        notes.append(f"default `{default}`")
    text = " ".join([parameter.get("description", ""), f"({'; '.join(notes)})" if notes else ""])
    name = html.escape(parameter["name"])
    return f"<tr><td><code>{name}</code></td><td>{parameter['in']}</td><td>{_text(text)}</td></tr>"


def _answer(status: str, answer: Json) -> str:
    about = str(answer["description"])
    about = _INVALID.get(about, about)
    named = [content.get("schema", {}) for content in answer.get("content", {}).values()]
    links = " ".join(_type(schema) for schema in named if _name(schema) and _name(schema) not in _NOT_OURS)
    return f"<tr><td>{html.escape(status)}</td><td>{_text(about)} {links}</td></tr>"


def _schema(name: str, schema: Json) -> str:
    parts = [f"<h3 id='{html.escape(name)}'>{html.escape(name)}</h3><p>{_text(schema.get('description', ''))}</p>"]
    if not (fields := schema.get("properties")):
        return "".join([*parts, f"<p>{_type(schema)}</p>"])
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{html.escape(field)}</code>{' (required)' if field in required else ''}</td>"
        f"<td>{_type(about)}</td><td>{_text(_described(about))}</td></tr>"
        for field, about in fields.items()
    )
    return "".join([*parts, f"<table><tr><th>field</th><th>type</th><th>meaning</th></tr>{rows}</table>"])


def _described(schema: Json) -> str:
    inner = (option.get("description", "") for option in schema.get("anyOf", ()))
    return str(schema.get("description") or next(filter(None, inner), ""))


def _type(schema: Json) -> str:
    """A schema in words, as HTML."""
    if name := html.escape(_name(schema)):
        return f"<a href='#{name}'>{name}</a>"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        words = [_type(option) for option in options if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(words))
    if values := schema.get("enum"):
        return " or ".join(f"<code>{html.escape(str(value))}</code>" for value in values)
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if fields := schema.get("properties"):
        inner = ", ".join(f'"{html.escape(field)}": {_type(about)}' for field, about in fields.items())
        return f"{{{inner}}}"
    return html.escape(str(schema.get("type", "anything")))


def _name(schema: Json) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _text(text: str) -> str:
    """Escaped HTML; words in backticks become code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
