"""`GET /docs`: /openapi.json as one HTML page, without scripts and without anything from another host."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from .document import openapi_document

STYLE: Final = """\
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:62rem;padding:0 1rem 4rem;color:#222}
h2{border-top:1px solid #ccc;padding-top:1.5rem;margin-top:2.5rem}
h3{margin-bottom:.3rem}
code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:#f5f5f3;padding:.8rem;overflow:auto;max-height:26rem}
table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid #ddd;padding:.25rem .6rem .25rem 0;text-align:left;vertical-align:top}
"""
_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
#: The page's own style, and nothing else.
POLICY: Final = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'"
_SCHEMAS: Final = "#/components/schemas/"


def reference_page() -> str:
    """Return the page."""
    document = openapi_document()
    info = document["info"]
    operations = list(_operations(document))
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(info['title'])}: HTTP reference</title>",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])}: HTTP reference</h1>",
        *(f"<p>{escape(text)}</p>" for text in info["description"].split("\n\n")),
        '<p>For machines: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>',
        '<h2 id="credentials">Credentials</h2>',
        *_credentials(document["components"]["securitySchemes"]),
        '<h2 id="operations">Operations</h2><ul>',
        *(
            f'<li><a href="#{each["operationId"]}"><code>{name} {escape(path)}</code></a>: '
            f"{escape(each['summary'])}</li>"
            for path, name, each in operations
        ),
        "</ul>",
    ]
    for path, name, operation in operations:
        parts += _operation(document, path, name, operation)
    parts.append('<h2 id="schemas">Schemas</h2>')
    for name, schema in document["components"]["schemas"].items():
        parts += _schema(name, schema)
    return "\n".join(parts) + "\n</body></html>\n"


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for name, operation in methods.items():
            yield path, name.upper(), operation


def _credentials(schemes: Mapping[str, Any]) -> Iterator[str]:
    for name, scheme in schemes.items():
        if scheme["type"] == "http":
            where = f"Authorization: Bearer <code>{escape(scheme['bearerFormat'])}</code>"
        else:
            where = f"Cookie <code>{escape(scheme['name'])}</code>"
        yield f"<h3>{name}</h3><p>{where}</p>"
        yield f"<pre>{escape(scheme['description'])}</pre>"


def _operation(document: Mapping[str, Any], path: str, name: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f'<h2 id="{operation["operationId"]}">{name} <code>{escape(path)}</code></h2>'
    yield f"<p>{escape(operation['summary'])}. {_who(operation['security'])}</p>"
    yield "<table><tr><th>parameter</th><th>in</th><th></th><th>example</th></tr>"
    for given in operation["parameters"]:
        parameter = _resolved(document, given)
        needed = " (required)" if parameter.get("required") else ""
        yield (
            f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{parameter['in']}</td>"
            f"<td>{escape(parameter['description'])}{needed}</td>"
            f"<td><code>{escape(_short(parameter.get('example', '')))}</code></td></tr>"
        )
    yield "</table>"
    if "requestBody" in operation:
        for content in operation["requestBody"]["content"].values():
            yield f"<h3>Body</h3><p>{_type(content['schema'])}</p>{_example(content)}"
    yield "<h3>Answers</h3><table><tr><th>status</th><th></th><th>body</th><th>codes</th></tr>"
    success = ""
    for status, given in operation["responses"].items():
        response = _resolved(document, given)
        bodies, codes = [], ""
        for media_type, content in response.get("content", {}).items():
            bodies.append(f"{media_type}: {_type(content['schema'])}")
            codes = ", ".join(content["schema"].get("properties", {}).get("code", {}).get("enum", ()))
            success = success or _example(content)
        yield (
            f"<tr><td>{status}</td><td>{escape(response['description'])}</td><td>{'<br>'.join(bodies)}</td>"
            f"<td>{escape(codes)}</td></tr>"
        )
    yield f"</table>{success}"
    for code, reason in operation.get("x-unforeseen", {}).items():
        yield f"<p>A request as described may get <code>{escape(code)}</code>: {escape(reason)}.</p>"


def _who(security: list[dict[str, list[str]]]) -> str:
    if not security:
        return "Open to everybody."
    callers = [
        f"a key with <code>{escape(scopes[0])}</code>" if scopes else f"<code>{name}</code>"
        for alternative in security
        for name, scopes in alternative.items()
    ]
    return "For " + " or ".join(callers) + "."


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f'<h3 id="schema-{name}">{name}</h3><p>{escape(schema.get("description", ""))}</p>'
    if "properties" not in schema:
        yield f"<p>{_type(schema)}</p>"
        return
    yield "<table><tr><th>member</th><th>type</th><th></th></tr>"
    for member, each in schema["properties"].items():
        optional = "" if member in schema.get("required", ()) else " (optional)"
        about = escape(str(each.get("description", "")))
        name = f"<code>{escape(member)}</code>"
        yield f"<tr><td>{name}</td><td>{_type(each)}</td><td>{about}{optional}</td></tr>"
    yield "</table>"


def _type(schema: Mapping[str, Any]) -> str:
    """Return a type in words, with links to schemas."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMAS)
        return f'<a href="#schema-{name}">{name}</a>'
    if "enum" in schema:
        return " | ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    for joined, word in (("anyOf", " | "), ("oneOf", " | "), ("allOf", " and ")):
        if joined in schema:
            return word.join(_type(each) for each in schema[joined])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    return escape(str(schema.get("type", "any")))


def _example(content: Mapping[str, Any]) -> str:
    if "example" not in content:
        return ""
    example = content["example"]
    text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
    return f"<pre>{escape(text)}</pre>"


def _short(example: Any) -> str:
    return example if isinstance(example, str) else json.dumps(example)


def _resolved(document: Mapping[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference of the document leads to."""
    if "$ref" not in value:
        return value
    part: Any = document
    for name in value["$ref"].removeprefix("#/").split("/"):
        part = part[name]
    resolved: dict[str, Any] = part
    return resolved
