"""The API's page: OpenAPI document -> one plain HTML page that loads nothing from anywhere."""

from __future__ import annotations

import html
import json
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}
h1,h2,h3{line-height:1.2}h2{border-top:1px solid #d0d7de;padding-top:1.2rem}
code,pre{font:14px/1.4 ui-monospace,monospace}
pre{background:#f3f5f7;padding:.8rem;overflow:auto;border-radius:6px}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #e3e7eb}
.m{display:inline-block;min-width:3.5rem;font-weight:700;color:#0b5cad}
@media(prefers-color-scheme:dark){body{color:#d7dde3;background:#12161a}pre{background:#1d242b}
td,th,h2{border-color:#2f3942}.m{color:#7ab8f5}}
"""


def page(document: dict[str, Any]) -> str:
    """Every operation with its parameters, body and answers, then every schema."""
    title = html.escape(document["info"]["title"])
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><h1>{title}</h1>'
        "<p>The same as a document: <a href='/openapi.json'>/openapi.json</a>. Send the key as "
        "<code>Authorization: Bearer KEY</code> or <code>X-API-Key: KEY</code>.</p>"
    ]
    for path, operations in document["paths"].items():
        parts += [_operation(path, method, about) for method, about in operations.items()]
    schemas = document.get("components", {}).get("schemas", {})
    parts += ["<h2>Schemas</h2>", *(_schema(name, schema) for name, schema in schemas.items())]
    return "".join([*parts, "</body></html>"])


def _operation(path: str, method: str, about: dict[str, Any]) -> str:
    parts = [f"<h2><span class=m>{method.upper()}</span> <code>{html.escape(path)}</code></h2>"]
    parts += [f"<p>{html.escape(about.get('summary', ''))}</p>"]
    if text := about.get("description"):
        parts.append(f"<p>{html.escape(text)}</p>")
    if parameters := about.get("parameters"):
        parts.append("<table><tr><th>parameter</th><th>in</th><th>what</th></tr>")
        parts += [_parameter(parameter) for parameter in parameters]
        parts.append("</table>")
    for media, content in about.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body <code>{html.escape(media)}</code>: {_named(content.get('schema', {}))}</p>")
    parts.append("<table><tr><th>answer</th><th>what</th></tr>")
    for status, answer in about.get("responses", {}).items():
        schemas = [_named(content.get("schema", {})) for content in answer.get("content", {}).values()]
        parts.append(f"<tr><td>{status}</td><td>{html.escape(answer['description'])} {' '.join(schemas)}</td></tr>")
    return "".join([*parts, "</table>"])


def _parameter(parameter: dict[str, Any]) -> str:
    need = " (required)" if parameter.get("required") else ""
    text = html.escape(parameter.get("description", ""))
    name = html.escape(parameter["name"])
    return f"<tr><td><code>{name}</code>{need}</td><td>{parameter['in']}</td><td>{text}</td></tr>"


def _named(schema: dict[str, Any]) -> str:
    reference = schema.get("$ref", "").rpartition("/")[2]
    if reference:
        return f"<a href='#{html.escape(reference)}'>{html.escape(reference)}</a>"
    return f"<code>{html.escape(json.dumps(schema))}</code>" if schema else ""


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = html.escape(json.dumps(schema, indent=1))
    return f"<h3 id='{html.escape(name)}'>{html.escape(name)}</h3><pre>{text}</pre>"
