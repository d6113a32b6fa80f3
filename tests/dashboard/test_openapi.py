"""Whatever is sent that the OpenAPI description allows, or nearly allows: an answer, never a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import hypothesis
import pytest
import schemathesis
import uvicorn
from pushledger_dashboard.app import create_app
from pushledger_dashboard.settings import DashboardSettings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

EXAMPLES = 12
LEFT_OUT = ("/v1/events", "/readyz")  # the one lasts, the other waits: test_process.py
WITHOUT_INPUT = ("/healthz", "/metrics", "/v1/overview", "/v1/check")
NAMES = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


@pytest.fixture
def url(settings: Callable[..., DashboardSettings], account: str) -> Iterator[str]:
    """The address of a dashboard without tokens, on a thread."""
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
            await super().startup()
            ready.set()

    config = uvicorn.Config(create_app(settings()), port=0, log_level="critical", ws="none", access_log=False)
    server = Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(10)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "wrong"])
def test_no_request_makes_it_fail(url: str, mode: GenerationMode) -> None:
    """And every answer is as described."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    checks = CHECKS.get_by_names(NAMES)
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in LEFT_OUT:
            continue
        if mode is GenerationMode.NEGATIVE and operation.path in WITHOUT_INPUT:
            continue
        asked += 1

        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=checks)

        ask()
    assert asked >= 20
