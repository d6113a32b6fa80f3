"""What Celery is told of a broker, and what a URL is refused for."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from pushledger import Settings, SettingsError
from pushledger.broker import DELIVER_QUEUE, INTAKE_QUEUE, broker_settings
from pushledger.broker_address import BrokerAddress
from pushledger.broker_refusals import refusal
from pushledger.server_address import SentinelAddress

OTHER = "redis://other/0"


@pytest.mark.parametrize(
    ("url", "kind", "bare", "tls"),
    [
        ("redis://u:p@host:1/3", "redis", "redis://u:p@host:1/3", None),
        ("rediss://host/3", "redis", "rediss://host/3", {"ssl_cert_reqs": "required", "ssl_check_hostname": True}),
        (
            "rediss://host/3?ssl_ca_certs=/ca.pem&ssl_check_hostname=false",
            "redis",
            "rediss://host/3",
            {"ssl_cert_reqs": "required", "ssl_ca_certs": "/ca.pem", "ssl_check_hostname": False},
        ),
        ("amqp://one//;amqp://two//", "rabbitmq", "amqp://one//;amqp://two//", None),
        (
            "amqps://host//?ssl_ca_certs=/ca.pem",
            "rabbitmq",
            "amqps://host//",
            {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None, "ca_certs": "/ca.pem"},
        ),
        (
            "sentinel://u:p@one,two:5,[::1]:7/2?master=shop",
            "sentinel",
            "sentinel://u:p@one:26379/2;sentinel://u:p@two:5/2;sentinel://u:p@[::1]:7/2",
            None,
        ),
        ("memory://", "other", "memory://", None),
    ],
)
def test_a_url_is_read(url: str, kind: str, bare: str, tls: dict[str, Any] | None) -> None:
    """Certificates are checked unless the URL says otherwise."""
    address = BrokerAddress.from_url(url)
    assert (address.kind, address.url, address.tls) == (kind, bare, tls)


def test_credentials_of_the_sentinels_do_not_reach_the_server() -> None:
    address = BrokerAddress.from_url(
        "sentinels://u:p@one/2?master=shop&sentinel_username=su&sentinel_password=sp&ssl_ca_certs=/ca.pem"
    )
    asked = address.publishing()["sentinel_kwargs"]
    assert (address.options["master_name"], asked["username"], asked["password"]) == ("shop", "su", "sp")
    assert (asked["ssl"], asked["ssl_ca_certs"]) == (True, "/ca.pem")
    server = SentinelAddress.from_url("sentinels://u:p@one/2?master=shop&sentinel_password=sp&ssl_ca_certs=/ca.pem")
    assert server.url_of(("host", 1)) == "rediss://u:p@host:1/2?ssl_ca_certs=%2Fca.pem"


@pytest.mark.parametrize("url", ["redis://h/0", "rediss://h/0", "amqp://h//", "sentinel://h/0?master=m"])
def test_every_wait_for_a_broker_ends(url: str) -> None:
    """A publish within about a second; a worker's own within ten."""
    address = BrokerAddress.from_url(url)
    for options, seconds in ((address.publishing(), 1), (address.consuming(), 10)):
        assert options.get("socket_timeout", options.get("read_timeout")) == seconds
        assert options.get("socket_timeout", options.get("write_timeout")) == seconds


def test_on_rabbitmq_each_queue_has_a_key_of_its_own() -> None:
    """Else a message would reach both."""
    queues = broker_settings(BrokerAddress.from_url("amqp://host//"))["task_queues"]
    assert [(queue.name, queue.routing_key, queue.exchange.type) for queue in queues] == [
        (DELIVER_QUEUE, DELIVER_QUEUE, "topic"),
        (INTAKE_QUEUE, INTAKE_QUEUE, "topic"),
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"redis_url": "sentinel://one:1/0"}, "REDIS_URL: must name the master"),
        ({"redis_url": "sentinel://one:port/0?master=m"}, "REDIS_URL: must name each Sentinel as host:port"),
        ({"redis_url": "sentinel://one,,two/0?master=m"}, "REDIS_URL: must name each Sentinel as host:port"),
        ({"redis_url": "sentinel://one/x?master=m"}, "REDIS_URL: must end with the number"),
        ({"redis_url": "sentinel://one/0?master=m&ssl_colour=red"}, "REDIS_URL: has an option"),
        ({"redis_url": "rediss://h/0?ssl_ca_certs=/nowhere.pem"}, "REDIS_URL: ssl_ca_certs: /nowhere.pem holds no"),
        ({"redis_url": "rediss://h/0?ssl_keyfile=/k.pem"}, "REDIS_URL: ssl_keyfile: needs ssl_certfile"),
        ({"broker_url": "sentinel://one:1/0"}, "BROKER_URL: must name the master"),
        ({"broker_url": "amqps://h//?ssl_certfile=/nowhere.pem"}, "BROKER_URL: ssl_certfile: /nowhere.pem"),
    ],
    ids=repr,
)
def test_what_is_wrong_with_a_url_is_told(values: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(**{"broker_url": OTHER, **values})
    assert str(caught.value).startswith(f"PUSHLEDGER_{said}")


def test_the_broker_behind_the_ledgers_sentinels_is_the_next_database() -> None:
    settings = Settings(redis_url="sentinel://u:p@one:1,two:2/4?master=shop")
    assert settings.broker_url == "sentinel://u:p@one:1,two:2/5?master=shop"


def test_what_may_pass_is_no_refusal() -> None:
    assert refusal(ConnectionRefusedError("[Errno 111] Connection refused")) is None
    assert "logical database" in str(refusal(ValueError("DB index is out of range")))
