"""The rate limit and its headers."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from brevo_sandbox import BadInputError, Rate, Rules, Sandbox, parse_rate
from brevo_sandbox.testing import ManualClock

pytestmark = pytest.mark.anyio

ANY = "/v3/conversations/pushedMessages/none"


def headers(answer: httpx.Response) -> tuple[str, ...]:
    return tuple(answer.headers[f"x-sib-ratelimit-{name}"] for name in ("limit", "remaining", "reset"))


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("60/10s", Rate(60, 10)),
        ("100/hour", Rate(100, 3600)),
        ("5/min", Rate(5, 60)),
        ("1/0.5s", Rate(1, 0.5)),
        ("200/2h", Rate(200, 7200)),
        ("7/s", Rate(7, 1)),
        ("off", None),
    ],
)
async def test_a_rate_is_written_as_calls_per_window(written: str, rate: Rate | None) -> None:
    """The units are seconds, minutes, hours and days, short or long."""
    assert parse_rate(written) == rate


@pytest.mark.parametrize("written", ["", "60", "0/s", "5/0s", "-1/s", "5/year", "5/s/s", "9" * 5000 + "/s"])
async def test_what_is_no_rate_is_refused(written: str) -> None:
    """The error says what a rate looks like."""
    with pytest.raises(BadInputError, match="rate"):
        parse_rate(written)


async def test_the_window_starts_with_its_first_request(
    connect: Callable[[Sandbox], httpx.AsyncClient], clock: ManualClock
) -> None:
    """The reset is whole seconds left, rounded up, and a new window is full."""
    async with connect(Sandbox(rate=Rate(2, 10), clock=clock)) as api:
        clock.pass_by(100)
        assert headers(await api.get(ANY)) == ("2", "1", "10")
        clock.pass_by(3.5)
        assert headers(await api.get(ANY)) == ("2", "0", "7")
        refused = await api.get(ANY)
        assert refused.status_code == 429
        assert refused.json() == {
            "code": "too_many_requests",
            "message": "The expected rate limit is exceeded.",
        }
        assert headers(refused) == ("2", "0", "7")
        clock.pass_by(6.5)
        assert headers(await api.get(ANY)) == ("2", "1", "10")


async def test_refused_calls_may_count(connect: Callable[[Sandbox], httpx.AsyncClient], clock: ManualClock) -> None:
    """With the switch on, each 429 is taken from the next window."""
    rules = Rules(count_refused=True)
    async with connect(Sandbox(rate=Rate(3, 10), rules=rules, clock=clock)) as api:
        statuses = [(await api.get(ANY)).status_code for _ in range(5)]
        clock.pass_by(10)
        statuses += [(await api.get(ANY)).status_code for _ in range(2)]
    assert statuses == [404, 404, 404, 429, 429, 404, 429]


async def test_a_call_without_a_good_key_costs_nothing(
    connect: Callable[[Sandbox], httpx.AsyncClient], clock: ManualClock
) -> None:
    """An unauthorized call draws nothing from the window but still tells what is left."""
    async with connect(Sandbox(rate=Rate(2, 10), keys=["right"], clock=clock)) as api:
        assert headers(await api.get(ANY)) == ("2", "2", "10")


async def test_the_headers_may_be_left_out(connect: Callable[[Sandbox], httpx.AsyncClient]) -> None:
    """Some live answers carry none."""
    async with connect(Sandbox(rate=Rate(1, 10), rules=Rules(rate_headers=False))) as api:
        await api.get(ANY)
        refused = await api.get(ANY)
    assert refused.status_code == 429
    assert not [name for name in refused.headers if name.startswith("x-sib")]


async def test_the_control_api_is_not_limited(connect: Callable[[Sandbox], httpx.AsyncClient]) -> None:
    """Looking at the sandbox neither costs calls nor is ever refused."""
    async with connect(Sandbox(rate=Rate(1, 10))) as api:
        for _ in range(3):
            answer = await api.get("/sandbox/rate")
    assert answer.json() == {"rate": "1/10s", "remaining": 1, "reset": 10}
