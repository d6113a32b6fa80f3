"""A private RabbitMQ node: its own folder, name, cookie and ports, and an epmd of its own that ends with it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlencode

from acceptance.conftest import _awaited
from kombu import Connection
from services.certificates import Certificates

__all__ = ["RabbitMQ"]

_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


class RabbitMQ:
    """A node that may be killed and started again, on the same ports and folder."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        self.folder = folder
        self.port, self.tls_port, distribution, epmd = _free_ports(4)
        (folder / "plugins").write_text("[].")
        tls = {
            "listeners.ssl.1": f"127.0.0.1:{self.tls_port}",
            "ssl_options.cacertfile": certificates.authority,
            "ssl_options.certfile": certificates.server,
            "ssl_options.keyfile": certificates.server,
            "ssl_options.verify": "verify_peer",
            "ssl_options.fail_if_no_peer_cert": "false",
        }
        (folder / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in tls.items()))
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_NODENAME": f"pushledger-{secrets.token_hex(4)}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def url(self, password: str = "guest") -> str:
        """Its URL for the user that every node has."""
        return f"amqp://guest:{password}@127.0.0.1:{self.port}//"

    def tls_url(self, **options: str) -> str:
        """Its URL over TLS, with options after the question mark."""
        return f"amqps://guest:guest@127.0.0.1:{self.tls_port}//?{urlencode(options)}"

    def start(self) -> None:
        """Start it; returns once it lets somebody in."""
        self._run("/usr/bin/epmd")
        self._run(_SERVER)
        _awaited(self._answers, 60, f"RabbitMQ answers: {self.folder}")

    def _run(self, program: str) -> None:
        with (self.folder / f"{Path(program).name}.log").open("ab") as log:
            process = subprocess.Popen(
                [program],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)

    def _answers(self) -> bool:
        try:
            with Connection(self.url(), connect_timeout=2) as connection:
                connection.connect()
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL it."""
        while self._processes:
            process = self._processes.pop()
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def waiting(self, queue: str) -> int:
        """How many messages nobody has taken yet."""
        with Connection(self.url()) as connection:
            return int(connection.default_channel.queue_declare(queue, passive=True).message_count)

    def freeze(self) -> None:
        """SIGSTOP it: connections stay, nothing answers."""
        os.killpg(self._processes[-1].pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT it."""
        os.killpg(self._processes[-1].pid, signal.SIGCONT)

    def ctl(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` prints."""
        command = ["/usr/lib/rabbitmq/bin/rabbitmqctl", "--silent", *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout
