"""The dashboard's answers over HTTP: the page, its stream of events, the JSON and the metrics. All of it can only be read.

This module must not listen, nor know where the status comes from.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import Request, cookie_parser
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parry_mpi.dashboard.board import Board, shown_workers
from parry_mpi.dashboard.metrics import CONTENT_TYPE, metrics_text
from parry_mpi.dashboard.pair import encoded

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Nothing of another origin is loaded, nothing of ours is embedded elsewhere, and the address with its token is told to nobody."""

REFUSED = (
    "parry-mpi: a token is needed: open the address that the run printed at its start (access.json in its folder has it too)\n"
)
ONLY_GET = "parry-mpi: the dashboard can only be read: GET\n"
NOTHING_YET = "parry-mpi: no status yet, the run is just starting: try again in a second\n"

KEEP_ALIVE_S = 10.0
"""A stream without news says so after so long, that proxies and tunnels do not take it for dead."""

RETRY_MS = 1_000
"""How soon a page tries to come back when its stream has ended."""

WORKERS_SHOWN = 200
"""Rows of the table of workers, if the request does not say."""

MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

Handler = Callable[[Request], Awaitable[Response]]


def application(board: Board, token: str) -> ASGIApp:
    """Return the whole dashboard as an ASGI application.

    Args:
        board: what is shown.
        token: whoever has it may look.
    """
    answers = Answers(board, token)
    handlers: dict[str, Handler] = {
        "/": answers.page,
        "/static/{name}": answers.static,
        "/api/status": answers.status,
        "/api/workers": answers.workers,
        "/api/history": answers.history,
        "/events": answers.events,
        "/metrics": answers.metrics,
    }
    return Guard(Starlette(routes=[Route(path, handler) for path, handler in handlers.items()]), token)


class Answers:
    """One method for each address; arguments as for ``application``."""

    def __init__(self, board: Board, token: str) -> None:
        self._board = board
        self._token = token
        self._files = _files()

    async def page(self, request: Request) -> Response:
        response = Response(self._files["index.html"], media_type=MEDIA_TYPES["html"])
        response.set_cookie(_cookie_name(self._token), self._token, httponly=True, samesite="strict")
        return response

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files:
            return PlainTextResponse("parry-mpi: there is no such file\n", 404)
        return Response(self._files[name], media_type=MEDIA_TYPES[name.rpartition(".")[2]])

    async def status(self, request: Request) -> Response:
        return _json(self._board.status)

    async def workers(self, request: Request) -> Response:
        if self._board.status is None:
            return _json(None)
        query = request.query_params
        limit = query.get("limit", "")
        return _json(
            shown_workers(
                self._board.status,
                sort=query.get("sort", "worker"),
                descending=query.get("descending", "") == "1",
                wanted=query.get("filter", ""),
                limit=int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 9 else WORKERS_SHOWN,
            )
        )

    async def history(self, request: Request) -> Response:
        return _json(self._board.samples.table())

    async def metrics(self, request: Request) -> Response:
        return Response(metrics_text(lambda: self._board.status), media_type=CONTENT_TYPE)

    async def events(self, request: Request) -> Response:
        return StreamingResponse(_events(self._board), media_type="text/event-stream")


class Guard:
    """Lets only requests with the token in, and only such as read.

    Args:
        inner: the application behind it.
        token: what has to be shown: as ``?token=``, as a Bearer, or as the cookie that the page sets.
    """

    def __init__(self, inner: ASGIApp, token: str) -> None:
        self._inner = inner
        self._token = token.encode()
        self._cookie_name = _cookie_name(token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        answer: ASGIApp = self._inner
        if scope["method"] != "GET":
            answer = PlainTextResponse(ONLY_GET, 405, {"Allow": "GET"})
        elif not secrets.compare_digest(self._shown(scope), self._token):
            answer = PlainTextResponse(REFUSED, 403)
        await answer(scope, receive, send_with_headers)

    def _shown(self, scope: Scope) -> bytes:
        """The token that a request shows; what is typed counts before what is remembered."""
        headers = Headers(scope=scope)
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        cookies: dict[str, str] = cookie_parser(headers.get("cookie", ""))
        typed = QueryParams(scope["query_string"]).get("token") or (bearer.strip() if kind.lower() == "bearer" else "")
        return (typed or cookies.get(self._cookie_name, "")).encode(errors="replace")


def _cookie_name(token: str) -> str:
    """Browsers do not tell ports apart: runs that are watched through the same host need names of their own."""
    return f"parry-{hashlib.sha256(token.encode()).hexdigest()[:12]}"


def _json(content: Any) -> Response:
    if content is None:
        return PlainTextResponse(NOTHING_YET, 503, {"Retry-After": "1"})
    return Response(encoded(content), media_type="application/json")


async def _events(board: Board) -> AsyncIterator[bytes]:
    """Follow the board: the history first, then every status, and what is long only when it has changed."""
    yield b"retry: %d\n\n" % RETRY_MS
    yield _event("history", encoded(board.samples.table()))
    version, sent = 0, {"result": b"", "quarantined": b""}
    while True:
        if not await board.newer_than(version, KEEP_ALIVE_S):
            yield b": nothing new\n\n"
            continue
        version, status = board.version, board.status
        assert status is not None
        parts = {
            "result": encoded({"text": status["result_text"], "html": status["result_html"]}),
            "quarantined": encoded(status["quarantined_jobs"]),
        }
        for name, data in parts.items():
            if sent[name] != data:
                sent[name] = data
                yield _event(name, data)
        yield _event("status", board.brief)


def _event(name: str, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def _files() -> dict[str, bytes]:
    """The page's files, read once: what is served later is what was installed when the run began."""
    folder = resources.files("parry_mpi.dashboard") / "static"
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.rpartition(".")[2] in MEDIA_TYPES}
