"""Brokers and servers as they are in the field, each a private process on free ports, ended in teardown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

import pytest
from acceptance.conftest import Sandbox, Stage, Valkey, _servers, stage
from kombu import Connection
from pushledger.broker import DELIVER_QUEUE, INTAKE_QUEUE
from pushledger.quorum_queues import DEAD_QUEUE
from services.certificates import Certificates
from services.rabbitmq import RabbitMQ
from services.redis_server import RedisServer
from services.sentinels import Replicated

__all__ = ["_servers", "stage"]

StageOn: TypeAlias = Callable[[Valkey], Stage]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """What servers and clients show each other."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Makes Redis servers and starts them: ``servers("replica", replicaof="127.0.0.1 6379")``."""
    with ExitStack() as stack:

        def started(name: str = "redis", tls: Certificates | None = None, **settings: str) -> RedisServer:
            server = RedisServer(tmp_path / name, tls, **settings)
            stack.callback(server.kill)
            server.start()
            return server

        yield started


@pytest.fixture
def stage_on(_servers: tuple[Valkey, Sandbox], tmp_path: Path, account: str) -> Iterator[StageOn]:
    """Makes a stage whose ledger, and unless told otherwise broker, is the server given."""
    _, sandbox = _servers
    sandbox.reset("off")
    with ExitStack() as stack:
        yield lambda server: Stage(server, sandbox, tmp_path, account, stack)


@pytest.fixture(scope="session")
def _node(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[RabbitMQ]:
    node = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"), certificates)
    try:
        node.start()
        yield node
    finally:
        node.kill()


@pytest.fixture
def rabbitmq(_node: RabbitMQ) -> RabbitMQ:
    """A RabbitMQ node without a queue."""
    with Connection(_node.url()) as connection:
        for queue in (DELIVER_QUEUE, INTAKE_QUEUE, DEAD_QUEUE):
            connection.default_channel.queue_delete(queue)
    return _node


@pytest.fixture
def replicated(servers: Callable[..., RedisServer], tmp_path: Path) -> Iterator[Replicated]:
    """A master, two replicas and three Sentinels."""
    with ExitStack() as stack:
        yield Replicated(tmp_path, stack, servers)
