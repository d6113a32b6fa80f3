"""TLS to the ledger and to both kinds of broker: who is checked, and what is said of a certificate that is wrong."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from pushledger import AsyncMessages, Messages, Settings
from pushledger.errors import LedgerUnavailable
from pushledger.own_checks import check_broker
from services.certificates import Certificates
from services.rabbitmq import RabbitMQ
from services.redis_server import RedisServer

if TYPE_CHECKING:
    from conftest import WaitUntil
    from services.conftest import StageOn

Servers = Callable[..., RedisServer]


@pytest.mark.parametrize("clients", ["no", "yes"], ids=["the server shows one", "both show one"])
def test_everything_goes_over_tls(
    servers: Servers, certificates: Certificates, stage_on: StageOn, wait_until: WaitUntil, clients: str
) -> None:
    """The ledger, the broker (a worker that does not tick delivers by wake-ups alone) and `check`."""
    server = servers(tls=certificates, tls_auth_clients=clients)
    stage = stage_on(server)
    stage.worker(TICK="1h")
    stage.create(1)
    wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 10, "the create is shown")
    checked = {check["name"]: check["outcome"] for check in stage.json("check")["checks"]}
    assert [checked[name] for name in ("server", "broker", "worker")] == ["ok"] * 3


def settings_with(server: RedisServer, **options: str) -> Settings:
    return Settings(redis_url=server.addressed(**options), account="a")


@pytest.mark.parametrize("given", ["none", "foreign"])
def test_a_server_that_nobody_vouches_for_is_refused_at_once(
    servers: Servers, certificates: Certificates, stage_on: StageOn, given: str
) -> None:
    """kombu would take any certificate where the URL names none."""
    server = servers(tls=certificates, tls_auth_clients="no")
    authority = {} if given == "none" else {"ssl_ca_certs": certificates.foreign_authority}
    settings = settings_with(server, **authority)
    began = time.monotonic()
    with Messages(settings) as messages, pytest.raises(LedgerUnavailable, match="certificate verify failed") as caught:
        messages.counts()
    assert time.monotonic() - began < 1
    assert "ssl_ options of PUSHLEDGER_REDIS_URL" in str(caught.value)

    async def ask() -> None:
        async with AsyncMessages(settings) as messages:
            await messages.counts()

    with pytest.raises(LedgerUnavailable, match="certificate verify failed"):
        asyncio.run(ask())
    check = check_broker(settings.broker_url)
    assert check.outcome == "failed"
    assert "ssl_ca_certs" in check.sentence
    assert "certificate verify failed" in check.sentence

    stage = stage_on(server)
    urls = {"REDIS_URL": settings.redis_url, "BROKER_URL": settings.broker_url}
    checked = stage.run("check", **urls)
    assert checked.returncode == 1
    assert checked.stdout.count("certificate verify failed") == 2
    worker = stage.worker(ready=False, **urls)
    assert worker.ends(20) == 1
    assert "ssl_ca_certs" in worker.text()


def test_a_certificate_for_another_name_is_refused(servers: Servers, certificates: Certificates) -> None:
    server = servers(tls=certificates, tls_auth_clients="no")
    with server.client() as client:
        other = certificates.server_of_another_name
        client.config_set("tls-cert-file", other, "tls-key-file", other)
    settings = settings_with(server, ssl_ca_certs=certificates.authority)
    with Messages(settings) as messages, pytest.raises(LedgerUnavailable, match="IP address mismatch"):
        messages.counts()
    assert "IP address mismatch" in check_broker(settings.broker_url).sentence


def test_a_client_without_a_certificate_is_told_that_one_is_asked_for(
    servers: Servers, certificates: Certificates
) -> None:
    server = servers(tls=certificates, tls_auth_clients="yes")
    settings = settings_with(server, ssl_ca_certs=certificates.authority)
    with Messages(settings) as messages, pytest.raises(LedgerUnavailable, match="client's certificate"):
        messages.counts()
    assert "give ssl_certfile in PUSHLEDGER_BROKER_URL" in check_broker(settings.broker_url).sentence


def test_a_url_may_say_that_nothing_is_checked(servers: Servers, certificates: Certificates) -> None:
    """It has to say so."""
    server = servers(tls=certificates, tls_auth_clients="no")
    settings = settings_with(server, ssl_cert_reqs="none", ssl_check_hostname="false")
    with Messages(settings) as messages:
        assert messages.counts()["queued"] == 0
    assert check_broker(settings.broker_url).outcome == "ok"


def test_rabbitmq_goes_over_tls_too(
    stage_on: StageOn, servers: Servers, rabbitmq: RabbitMQ, certificates: Certificates, wait_until: WaitUntil
) -> None:
    stage = stage_on(servers())
    url = rabbitmq.tls_url(**certificates.options)
    stage.worker(BROKER_URL=url, TICK="1h")
    with Messages(stage.settings_with(broker_url=url)) as stage.messages:
        stage.create(1)
        wait_until(lambda: stage.sandbox.seen_by("visitor-1") == ["Order received"], 10, "the create is shown")
    for options in ({}, {"ssl_ca_certs": certificates.foreign_authority}):
        check = check_broker(rabbitmq.tls_url(**options))
        assert check.outcome == "failed"
        assert "certificate verify failed" in check.sentence
