"""Serves the files of the web page from memory (docs/spec/page.md): `/`, and `/page/<name>`.

They are open to everybody and say nothing about anybody. A browser keeps them and asks with their ETag
whether they are still the same, so an update of the workers reaches it when the page is next loaded.
"""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib import resources
from typing import Final

import orjson
from aiohttp import web
from msgspec import Struct

from rebate_app.metrics.registry import MetricsRegistry

from .auth.cors import SECURITY_HEADERS
from .request_metrics import count_request

ROUTE: Final = "page"
PAGE_PATH: Final = "/page/"
INDEX: Final = "index.html"
#: The paths of the API that this worker serves, for views of resources that an older one lacks.
PATHS: Final = "paths.json"
CONTENT_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
#: Nothing from other hosts, no inline script or style; text can become script nowhere in the page.
POLICY: Final = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_ETAG_BYTES: Final = 12


class PageFile(Struct, frozen=True):
    """One file in both codings, and the tag of its content."""

    content_type: str
    body: bytes
    compressed: bytes
    tag: str

    @classmethod
    def of(cls, name: str, body: bytes) -> PageFile:
        """Return a file; KeyError for a suffix without a content type."""
        content_type = CONTENT_TYPES["." + name.rpartition(".")[2]]
        tag = hashlib.blake2b(body, digest_size=_ETAG_BYTES).hexdigest()
        return cls(content_type, body, gzip.compress(body, mtime=0), tag)


def page_files(paths: Iterable[str]) -> dict[str, PageFile]:
    """Return the files of the package by name; `paths` are those of the API."""
    folder = resources.files(__package__).joinpath("page")
    files = {
        each.name: PageFile.of(each.name, each.read_bytes()) for each in folder.iterdir() if each.is_file()
    }
    files[PATHS] = PageFile.of(PATHS, orjson.dumps(sorted(paths)))
    return files


def add_page(router: web.UrlDispatcher, metrics: MetricsRegistry, paths: Iterable[str]) -> None:
    """Serve the page; a name that it does not have is 404 like every unknown path."""
    for name, file in page_files(paths).items():
        path = "/" if name == INDEX else PAGE_PATH + name
        router.add_get(path, _handler(file, metrics))  # HEAD too


def _handler(file: PageFile, metrics: MetricsRegistry) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(request: web.Request) -> web.Response:
        started = time.perf_counter()
        response = _response(file, request.headers)
        count_request(metrics, ROUTE, request.method, response.status, time.perf_counter() - started)
        return response

    return serve


def _response(file: PageFile, headers: Mapping[str, str]) -> web.Response:
    coded = "gzip" in headers.get("Accept-Encoding", "")
    etag = f'"{file.tag}{"-gzip" if coded else ""}"'
    kept = {
        **SECURITY_HEADERS,
        "Content-Security-Policy": POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
        "ETag": etag,
    }
    if etag in headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=kept)
    if coded:
        kept["Content-Encoding"] = "gzip"
    body = file.compressed if coded else file.body
    return web.Response(body=body, headers={**kept, "Content-Type": file.content_type})
