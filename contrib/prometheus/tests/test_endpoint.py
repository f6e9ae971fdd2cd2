"""``/metrics`` over HTTP on loopback: what is said there, and to whom."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

import patter_prometheus
from patter import Patter
from patter.plugins import PluginManager
from patter.redaction import redact

TOKEN = "a-token-of-the-scraper"


async def served(environ: dict[str, str], *requests: dict[str, Any]) -> list[tuple[int, str, str]]:
    """What a phone that serves answers to requests to /metrics: status, content type and text of each."""
    manager = PluginManager([patter_prometheus], autoload=False, strict=True, environ=environ)
    phone = Patter(manager=manager, host="127.0.0.1", port=0)
    await phone.start(None)
    answers = []
    try:
        async with aiohttp.ClientSession(trust_env=False) as client:
            for request in requests:
                async with client.get(f"{phone.url}/metrics", **request) as answer:
                    answers.append((answer.status, answer.headers["Content-Type"], await answer.text()))
    finally:
        await phone.disconnect()
    return answers


def ask(environ: dict[str, str], *requests: dict[str, Any]) -> list[tuple[int, str, str]]:
    return asyncio.run(served(environ, *requests))


def test_it_answers_in_the_format_of_prometheus() -> None:
    ((status, content_type, text),) = ask({}, {})
    assert status == 200
    assert content_type.startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {"patter_calls", "patter_ready", "patter_event_loop_lag_seconds", "patter_cost_usd"} <= set(
        families
    )
    assert [sample.value for sample in families["patter_ready"].samples] == [1.0]
    assert all(family.documentation for family in families.values())


def test_openmetrics_is_spoken_where_it_is_asked_for() -> None:
    accept = {"headers": {"Accept": "application/openmetrics-text;version=1.0.0"}}
    ((status, content_type, text),) = ask({}, accept)
    assert status == 200
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "Host"])
def test_without_a_token_nothing_is_told_to_who_comes_through_a_proxy(header: str) -> None:
    (answer,) = ask({}, {"headers": {header: "203.0.113.7"}})
    assert answer[0] == 403
    assert "patter_" not in answer[2]


@pytest.mark.parametrize(
    "host", ["[", "::1:x", "local host", "localhost.example.com", "127.0.0.1.example.com"]
)
def test_an_odd_host_is_refused(host: str) -> None:
    (answer,) = ask({}, {"headers": {"Host": host}})
    assert answer[0] in (400, 403)


def test_a_token_is_needed_where_there_is_one() -> None:
    environ = {patter_prometheus.TOKEN.name: TOKEN}
    right = {"headers": {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "203.0.113.7"}}
    wrong = [
        {"Authorization": value} for value in (f"Bearer {TOKEN}x", "Bearer ", "Basic eDp5", f"bearer {TOKEN}")
    ]
    answers = ask(environ, right, {}, *({"headers": headers} for headers in wrong))
    assert [status for status, _, _ in answers] == [200, *[403] * 5]


def test_the_token_reaches_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    environ = {patter_prometheus.TOKEN.name: TOKEN}
    ask(
        environ, {"headers": {"Authorization": f"Bearer {TOKEN}"}}, {"headers": {"Authorization": "Bearer x"}}
    )
    assert TOKEN not in caplog.text
    assert TOKEN not in redact(f"what was sent: {TOKEN}")
