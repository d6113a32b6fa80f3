"""What is compared: pushledger, and the two recipes. Each takes the same jobs and holds them until it is let go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from celery import Celery
from pushledger import Create, Job, Messages, Update
from pushledger.settings import Settings

from benchmarks.processes import Api, Server, Tree, awaited, process

__all__ = ["CONTENDERS", "OURS", "Contender", "Fleet", "Recipe", "Step", "messages_of", "steps"]

AGENT = "d9nKoegKSjmCtyK78"


@dataclass(frozen=True, slots=True)
class Step:
    """One job: the ``version``-th text of a message; the first one creates it."""

    number: int
    version: int = 1

    @property
    def fields(self) -> tuple[str, str, str]:
        """Local id, visitor, text."""
        return f"order:{self.number}", f"visitor-{self.number}", f"Order {self.number}: step {self.version}"

    def job(self) -> Job:
        """The same as a job of pushledger."""
        local_id, visitor_id, text = self.fields
        return Create(local_id, visitor_id, text, agent_id=AGENT) if self.version == 1 else Update(local_id, text)


def steps(messages: int, versions: int = 1, round_robin: bool = False) -> list[Step]:
    """All versions of each message, id by id or in rounds."""
    found = [Step(number, version) for number in range(messages) for version in range(1, versions + 1)]
    return sorted(found, key=lambda step: step.version) if round_robin else found


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many worker processes, with how many calls in the air each, and further settings of pushledger."""

    processes: int = 2
    inflight: int = 50
    settings: dict[str, str] = field(default_factory=dict)


class Contender(Protocol):
    """One way to send messages."""

    name: str

    def workers(self, server: Server, api: Api, fleet: Fleet) -> object:
        """A context manager that runs workers, ready and held, and gives their process tree."""

    def enqueue(self, server: Server, jobs: Sequence[Step]) -> None:
        """Hand the jobs in."""

    def hold(self, server: Server) -> None:
        """Let workers wait."""

    def release(self, server: Server) -> None:
        """Let them work."""


def messages_of(server: Server, account: str = "default") -> Messages:
    """The shop's face of the ledger."""
    return Messages(Settings(redis_url=server.url(), account=account))


@dataclass(frozen=True, slots=True)
class Ledger:
    """pushledger."""

    name: str = "pushledger"

    @contextmanager
    def workers(self, server: Server, api: Api, fleet: Fleet) -> Iterator[Tree]:
        """`pushledger worker`."""
        environment = {
            "PUSHLEDGER_REDIS_URL": server.url(),
            "PUSHLEDGER_API_URL": api.url,
            "PUSHLEDGER_API_KEY": "k",
            "PUSHLEDGER_RATE": "off",
            "PUSHLEDGER_CONCURRENCY": str(fleet.processes),
            "PUSHLEDGER_INFLIGHT": str(fleet.inflight),
            **fleet.settings,
        }
        arguments = ["-m", "pushledger", "worker", "--loglevel", "warning"]
        with process(arguments, environment) as started, messages_of(server) as messages:
            messages.resume()
            with server.client() as client:
                awaited(lambda: client.exists("pushledger:{default}:heartbeat"), 30, "a delivery begins")
            yield Tree(started.pid)

    def enqueue(self, server: Server, jobs: Sequence[Step]) -> None:
        """In bulk."""
        with messages_of(server) as messages:
            messages.submit([step.job() for step in jobs])

    def hold(self, server: Server) -> None:
        """Pause the account."""
        with messages_of(server) as messages:
            messages.pause()

    def release(self, server: Server) -> None:
        """Resume it."""
        with messages_of(server) as messages:
            messages.resume()


@dataclass(frozen=True, slots=True)
class Recipe:
    """A Celery task for each job; ``task`` names it."""

    name: str
    task: str

    def app(self, server: Server) -> Celery:
        """The shop's side of it."""
        app = Celery(broker=server.url(3), set_as_current=False)
        app.conf.update(task_default_queue="recipes", task_ignore_result=True)
        return app

    @contextmanager
    def workers(self, server: Server, api: Api, fleet: Fleet) -> Iterator[Tree]:
        """A Celery worker: threads where calls take long, else processes."""
        environment = {
            "BENCHMARK_BROKER_URL": server.url(3),
            "BENCHMARK_REDIS_URL": server.url(2),
            "BENCHMARK_API_URL": api.url,
        }
        pool = "prefork" if fleet.inflight == 1 else "threads"
        size = fleet.processes if pool == "prefork" else fleet.processes * fleet.inflight
        arguments = ["-m", "celery", "-A", "benchmarks.recipes", "worker", f"--pool={pool}", f"--concurrency={size}"]
        with process([*arguments, "--without-gossip", "--without-mingle"], environment) as started:
            with self.app(server) as app:
                awaited(lambda: app.control.ping(timeout=0.3), 30, "the Celery worker answers")
            yield Tree(started.pid)

    def enqueue(self, server: Server, jobs: Sequence[Step]) -> None:
        """One by one: Celery has nothing else."""
        with self.app(server) as app:
            for step in jobs:
                verb = "create" if step.version == 1 else "update"
                app.send_task(self.task, args=(verb, *step.fields))

    def hold(self, server: Server) -> None:
        """Stop taking from the queue."""
        with self.app(server) as app:
            app.control.cancel_consumer("recipes", reply=True, timeout=2)

    def release(self, server: Server) -> None:
        """Take from the queue again."""
        with self.app(server) as app:
            app.control.add_consumer("recipes")


OURS = Ledger()
CONTENDERS: tuple[Ledger | Recipe, ...] = (
    OURS,
    Recipe("Celery + SDK", "recipes.sdk"),
    Recipe("Celery + httpx + tenacity", "recipes.httpx"),
)
os.environ.setdefault("BENCHMARK_BROKER_URL", "")
