"""The dashboard's answers: to whom, to what, with which headers. Without a server, one request after the other."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from support.commands import ROOT
from support.watching import FACTS, TOKEN, Answer, status

from parry_mpi.dashboard.application import REFUSED, SECURITY_HEADERS, _events, application
from parry_mpi.dashboard.board import Board

PATHS = ("/", "/static/page.js", "/api/status", "/api/workers", "/api/history", "/metrics")


def board(**changes) -> Board:
    made = Board(FACTS)
    made.take(status(**changes))
    return made


def ask(path: str, *, method: str = "GET", shown: Board | None = None, **headers: str) -> Answer:
    """The answer to one request."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(application(shown or board(), TOKEN)(scope, receive, send))
    told = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent[1:]))


@pytest.mark.parametrize("path", [*PATHS, "/events", "/nowhere"])
@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}),
        ("?token=", {}),
        ("?token=wrong", {}),
        ("?token=" + TOKEN[:-1], {}),
        ("?token=%C3%A4%FF", {}),
        ("", {"authorization": "Bearer wrong"}),
        ("", {"authorization": "Basic " + TOKEN}),
        ("", {"cookie": "parry-000000000000=" + TOKEN}),
    ],
)
def test_refused(path, query, headers):
    """Protects a run on a shared machine: without the token nothing is shown, and one line says what to do."""
    answer = ask(path + query, **headers)
    assert (403, REFUSED) == (answer.code, answer.body.decode())
    assert 1 == answer.body.count(b"\n")
    assert TOKEN not in str(answer.headers)


@pytest.mark.parametrize("path", PATHS)
def test_let_in(path):
    """Protects whoever has the address: the token opens everything, in the address, as a Bearer, and as the cookie of the page."""
    cookie = ask(f"/?token={TOKEN}").headers["set-cookie"]
    assert {"HttpOnly", "Path=/", "SameSite=strict"} == {part.strip() for part in cookie.split(";")[1:]}
    for answer in (
        ask(f"{path}?token={TOKEN}"),
        ask(path, authorization=f"Bearer {TOKEN}"),
        ask(path, cookie=f"other=1; {cookie.partition(';')[0]}"),
    ):
        assert 200 == answer.code
        assert {name: answer.headers[name.lower()] for name in SECURITY_HEADERS} == SECURITY_HEADERS


def test_typed_counts():
    """Protects from confusion: a wrong token in the address is refused, though the browser remembers a right one."""
    cookie = ask(f"/?token={TOKEN}").headers["set-cookie"].partition(";")[0]
    assert 403 == ask("/api/status?token=wrong", cookie=cookie).code


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_only_read(method):
    """Protects the run: nothing about it can be changed from a page."""
    answer = ask(f"/api/status?token={TOKEN}", method=method)
    assert (405, "GET") == (answer.code, answer.headers["allow"])


def test_headers():
    """Protects the page: nothing of another origin runs in it, inline scripts and styles do not either, nobody embeds it."""
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    page = ask(f"/?token={TOKEN}").body.decode()
    assert [] == re.findall(r"<style|<script(?![^>]*src=)|\son\w+=|\sstyle=|https?:", page)


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb. Source: WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        *[(ink, ground) for ink in ("ink", "soft", "accent", "bad") for ground in ("card", "ground")],
        *[("ink", "accent-soft"), ("good", "good-soft"), ("warn", "warn-soft"), ("bad", "bad-soft")],
    ],
)
def test_contrast(scheme, ink, ground):
    """Protects readers with weak eyes: all text has the contrast of WCAG 2 AA on its ground, in both schemes."""
    style = ask(f"/static/style.css?token={TOKEN}").body.decode()
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", light if scheme == "light" else dark))
    brighter, darker = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
    assert (brighter + 0.05) / (darker + 0.05) >= 4.5


def test_files():
    """Protects offline use: each file that the page names is ours and is there, with its type."""
    page = ask(f"/?token={TOKEN}").body.decode()
    named = set(re.findall(r'(?:src|href)="(static/[^"]+)"', page))
    for script in ("page.js", "charts.js", "workers.js"):
        code = ask(f"/static/{script}?token={TOKEN}").body.decode()
        named |= {f"static/{name}" for name in re.findall(r'from "\./([\w.]+)"', code)}
    assert {"static/page.js", "static/charts.js", "static/workers.js", "static/format.js", "static/style.css"} < named
    for path in named:
        answer = ask(f"/{path}?token={TOKEN}")
        assert 200 == answer.code, path
        assert answer.headers["content-type"].startswith(("text/javascript", "text/css", "image/svg+xml"))
    assert 404 == ask(f"/static/nothing.js?token={TOKEN}").code
    assert 404 == ask(f"/static/..%2f..%2fpair.py?token={TOKEN}").code


def test_status():
    """Protects scripts: the API answers with the whole status; before there is one it says so."""
    answer = ask(f"/api/status?token={TOKEN}", shown=board(workers_count=7))
    assert (1, 7, "Queens n=12", "application/json") == (
        answer.json["version"],
        len(answer.json["workers_list"]),
        answer.json["title"],
        answer.headers["content-type"],
    )
    for path in ("/api/status", "/api/workers"):
        early = ask(f"{path}?token={TOKEN}", shown=Board(FACTS))
        assert (503, "1") == (early.code, early.headers["retry-after"])


def test_documented():
    """Protects scripts: docs/dashboard.md lists each name of the status."""
    page = (ROOT / "docs" / "dashboard.md").read_text()
    listed = set(re.findall(r"`(\w+)`", page))
    told = board().status
    assert set(told) <= listed
    assert set(told["workers_list"][0]) <= listed


@pytest.mark.parametrize("limit", ["x", "-1", "9" * 4000, "²", ""])
def test_workers(limit):
    """Protects the server from what anybody may type: an odd number of rows is the usual one."""
    shown = board(workers_count=300)
    answer = ask(f"/api/workers?limit={limit}&sort=worker&descending=1&token={TOKEN}", shown=shown)
    assert (200, 200, 300) == (answer.code, len(answer.json["rows"]), answer.json["rows"][0]["worker"])
    assert 3 == len(ask(f"/api/workers?limit=3&token={TOKEN}", shown=shown).json["rows"])


def test_events():
    """Protects an open page: history first, then each status, and what is long only when it has changed."""

    async def story() -> list[tuple[str, object]]:
        shown = board(moment=1)
        stream = _events(shown)
        heard = [(await anext(stream)).decode() for _ in range(5)]
        shown.take(status(moment=2, result_text="14201"))
        heard.append((await anext(stream)).decode())
        shown.take(status(moment=3, result_text="new"))
        heard += [(await anext(stream)).decode() for _ in range(2)]
        await stream.aclose()
        return [re.fullmatch(r"event: (\w+)\ndata: (.*)\n\n", each).groups() for each in heard[1:]]

    events = [(name, json.loads(data)) for name, data in asyncio.run(story())]
    assert ["history", "result", "quarantined", "status", "status", "result", "status"] == [name for name, _ in events]
    assert [1.0, 2.0, 3.0] == [told["time"] - 1_800_000_000 for name, told in events if name == "status"]
    assert "new" == events[5][1]["text"]
