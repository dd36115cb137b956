"""The API's description as a page of plain HTML: no script, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

__all__ = ["router"]

router = APIRouter(prefix="/api", include_in_schema=False)

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}pre{overflow:auto;padding:.5rem;border:1px solid #8886}
summary{cursor:pointer;padding:.25rem 0}summary code{font-weight:600}details{border-bottom:1px solid #8884}
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem 1rem .2rem 0;vertical-align:top}"""


@router.get("/docs", response_class=HTMLResponse)
async def docs(request: Request) -> HTMLResponse:
    """The page."""
    return HTMLResponse("".join(_page(request.app.openapi())))


@router.get("/docs.css")
async def style() -> Response:
    """Its style."""
    return Response(_STYLE, media_type="text/css")


def _page(described: dict[str, Any]) -> Iterator[str]:
    info = described["info"]
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}: the API</title>'
    yield '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/api/docs.css">'
    yield f"<main><h1>{escape(info['title'])} {escape(info['version'])}: the API</h1>"
    yield "".join(f"<p>{escape(part)}</p>" for part in info["description"].split("\n\n"))
    yield '<p>For programs: <a href="/api/openapi.json">/api/openapi.json</a></p>'
    routes = [
        (path, method, route) for path, methods in described["paths"].items() for method, route in methods.items()
    ]
    for tag in described["tags"]:
        yield f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>"
        for path, method, route in routes:
            if tag["name"] in route.get("tags", ()):
                yield from _route(path, method, route, described)
    yield "</main></html>"


def _route(path: str, method: str, route: dict[str, Any], described: dict[str, Any]) -> Iterator[str]:
    yield f"<details><summary><code>{method.upper()} {escape(path)}</code> {escape(route.get('description', ''))}</summary>"
    rows = [(one["name"], one["schema"], one.get("description", "")) for one in route.get("parameters", ())]
    if rows:
        yield _table(rows)
    for name, content in route.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body, <code>{escape(name)}</code></p>{_table(_fields(content['schema'], described))}"
    for status, answer in route["responses"].items():
        yield f"<p>{escape(status)}: {escape(answer['description'])}</p>"
        for content in answer.get("content", {}).values() if status < "300" else ():
            yield _table(_fields(content.get("schema", {}), described))
    yield "</details>"


def _fields(schema: dict[str, Any], described: dict[str, Any]) -> list[tuple[str, dict[str, Any], str]]:
    schema = schema.get("items", schema)
    if "anyOf" in schema:
        schema = schema["anyOf"][0]
    if "$ref" in schema:
        schema = described["components"]["schemas"].get(schema["$ref"].rpartition("/")[2], {})
    return [(name, one, one.get("description", "")) for name, one in schema.get("properties", {}).items()]


def _table(rows: list[tuple[str, dict[str, Any], str]]) -> str:
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_type(schema))}</td><td>{escape(about)}</td></tr>"
        for name, schema, about in rows
    )
    return f"<table>{cells}</table>" if cells else ""


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    kind = str(schema.get("type", schema.get("const", "any")))
    return f"{kind} of {_type(schema['items'])}" if "items" in schema else kind
