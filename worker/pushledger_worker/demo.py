"""The demo: an imaginary shop, a flaky API, two workers, one of them killed; then the books are checked."""

from __future__ import annotations

import json
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from subprocess import Popen

import httpx
from pushledger.message import Message
from pushledger.messages import Messages
from pushledger.orders import OrderStatus, OrderTexts, Status
from pushledger.settings import Settings
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pushledger_worker.audit import Copy, Wish, audit
from pushledger_worker.embedded import embedded_valkey
from pushledger_worker.shop import DEMO_AGENT, Event, imagine_shop, visitor_of, waiting_in
from pushledger_worker.stack import kill, sandbox_process, stop, worker_process

__all__ = ["Figures", "run_demo"]

RATE = "60/4s"
FAULTS = (
    "POST:error_after=0.02",
    "POST:reset_after=0.02",
    "POST:timeout_after=0.01@8",
    "error_before=0.02",
    "html_error=0.01",
    "latency=0.2@0.15s",
)
WORKER_ENVIRONMENT = {
    "PUSHLEDGER_RATE": RATE,
    "PUSHLEDGER_CALL_TIMEOUT": "1500ms",
    "PUSHLEDGER_LEASE_MARGIN": "1500ms",
    "PUSHLEDGER_BACKOFF_FIRST": "500ms",
    "PUSHLEDGER_SETTLE_DELAY": "1s",
    "PUSHLEDGER_INFLIGHT": "4",
    "PUSHLEDGER_CONCURRENCY": "1",
}
SHOP_SECONDS_PER_ORDER = 0.09
SHOP_SECONDS_AT_LEAST = 6.0
KILL_AT = 0.5
DRAIN_SECONDS = 60.0
DRAIN_SECONDS_PER_ORDER = 0.1


@dataclass(frozen=True, slots=True)
class Figures:
    """What the demo prints."""

    orders: int
    jobs: int
    calls: int
    calls_saved: int
    answers_429: int
    lost_answers: int
    resends: int
    right: int
    held: int
    failed: int
    lost: int
    wrong_text: int
    shown_twice: int
    shown_more_often_than_allowed: int
    doubled_without_mark: int
    unfinished: int
    strayed: int
    seconds: float
    promises_kept: bool


def run_demo(orders: int, seed: int, as_json: bool, keep: bool) -> bool:
    """Run it, print the table (or JSON) to standard output; whether every promise held.

    Raises RuntimeError when a part of the stack does not come up.
    """
    console = Console(stderr=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pushledger-demo-")))
        redis_url = stack.enter_context(embedded_valkey(folder / "valkey"))
        arguments = ["--rate", RATE, "--seed", str(seed), *(part for fault in FAULTS for part in ("--fault", fault))]
        api_url = stack.enter_context(sandbox_process(arguments, folder / "sandbox.log"))
        environment = {
            **WORKER_ENVIRONMENT,
            "PUSHLEDGER_REDIS_URL": redis_url,
            "PUSHLEDGER_API_URL": api_url,
            "PUSHLEDGER_API_KEY": "demo-key",
        }
        environment |= {"PUSHLEDGER_BROKER_URL": "", "PUSHLEDGER_ACCOUNT": "default"}
        workers = [stack.enter_context(_worker(environment, folder / f"worker-{n}.log")) for n in (1, 2)]
        page = api_url.removesuffix("/v3")
        console.print(f"embedded Valkey {redis_url} · sandbox {page}/ · 2 workers · {RATE} calls allowed · faults on")
        settings = Settings(redis_url=redis_url, settle_delay=timedelta(seconds=1))
        messages = stack.enter_context(Messages(settings))
        begun = time.monotonic()
        day = max(SHOP_SECONDS_AT_LEAST, SHOP_SECONDS_PER_ORDER * orders)
        events = imagine_shop(orders, day, random.Random(seed))  # noqa: S311  # a show, not a secret
        wishes = _run_shop(events, messages, workers, console)
        seconds = time.monotonic() - begun
        figures = _check_books(wishes, settings, messages, page, events, seconds)
        if as_json:
            print(json.dumps(asdict(figures)))
        else:
            Console().print(_table(figures))
        if keep:
            _keep(console, environment, page)
        return figures.promises_kept


@contextmanager
def _worker(environment: dict[str, str], log: Path) -> Iterator[Popen[str]]:
    process = worker_process(environment, log)
    try:
        yield process
    finally:
        stop(process)


def _run_shop(
    events: list[Event], messages: Messages, workers: list[Popen[str]], console: Console
) -> dict[str, Status]:
    shop = OrderStatus(messages, agent_id=DEMO_AGENT)
    newest: dict[str, tuple[int, Status]] = {}
    with Progress(
        TextColumn("{task.description:<34}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        jobs = progress.add_task("the shop's events", total=len(events))
        settled = progress.add_task("messages at rest", total=len({event.order for event in events}))
        begun, killed = time.monotonic(), False
        for number, event in enumerate(events):
            while (early := event.at - (time.monotonic() - begun)) > 0:
                time.sleep(min(early, 0.25))
                progress.update(settled, completed=len(newest) - min(waiting_in(messages), len(newest)))
            shop.moved(event.order, event.status, visitor_id=visitor_of(event.order), version=event.version)
            newest[event.order] = max(newest.get(event.order, (0, event.status)), (event.version, event.status))
            progress.update(jobs, advance=1)
            if not killed and number >= KILL_AT * len(events):
                kill(workers[0])
                killed = True
                console.print("[red]SIGKILL[/red] worker 1, with calls in the air")
        _drain(messages, progress, settled, len(newest))
    return {order: status for order, (_, status) in newest.items()}


def _drain(messages: Messages, progress: Progress, settled: TaskID, orders: int) -> None:
    ends = time.monotonic() + DRAIN_SECONDS + DRAIN_SECONDS_PER_ORDER * orders
    while time.monotonic() < ends:
        waiting = waiting_in(messages)
        progress.update(settled, completed=orders - min(waiting, orders))
        if not waiting:
            return
        time.sleep(0.25)


def _check_books(
    wishes: dict[str, Status], settings: Settings, messages: Messages, page: str, events: list[Event], seconds: float
) -> Figures:
    with httpx.Client(base_url=page, timeout=10, trust_env=False) as sandbox:
        stats = sandbox.get("/sandbox/stats").json()
        stored = sandbox.get("/sandbox/messages").json()["messages"]
    copies = [Copy(one["visitorId"], one["id"], one["text"]) for one in stored if not one["deleted"]]
    known = {order: messages.get(f"order:{order}") for order in wishes}
    expected = [_wish(order, status, known[order]) for order, status in wishes.items()]
    found = audit(expected, copies, settings.max_resends)
    calls = sum(stats["methods"].get(method, 0) for method in ("POST", "PUT", "DELETE"))
    lost_answers = sum(stats["faults"].get(kind, 0) for kind in ("error_after", "reset_after", "timeout_after"))
    return Figures(
        orders=len(wishes),
        jobs=len(events),
        calls=calls,
        calls_saved=len(events) - calls,
        answers_429=stats["statuses"].get("429", 0),
        lost_answers=lost_answers,
        resends=sum(message.resends for message in known.values() if message),
        right=found.right,
        held=found.held,
        failed=found.failed,
        lost=found.lost,
        wrong_text=found.wrong_text,
        shown_twice=found.doubled,
        shown_more_often_than_allowed=found.over_limit,
        doubled_without_mark=found.unmarked,
        unfinished=found.unfinished,
        strayed=found.strayed,
        seconds=round(seconds, 1),
        promises_kept=found.kept and calls < len(events),
    )


def _wish(order: str, status: Status, message: Message | None) -> Wish:
    text = None if status is Status.CANCELLED else OrderTexts().text(status, None, {"order_number": order})
    return Wish(
        local_id=f"order:{order}",
        visitor_id=visitor_of(order),
        text=text,
        state=message.state if message else "deleted" if text is None else "delivered",
        message_id=message.message_id if message else None,
        maybe_doubled=bool(message and message.maybe_doubled),
    )


def _table(figures: Figures) -> Table:
    table = Table(title="what the sandbox really holds, against what the shop wished", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    must_be_zero = {
        "lost",
        "wrong_text",
        "shown_more_often_than_allowed",
        "doubled_without_mark",
        "unfinished",
        "strayed",
    }
    for name, value in asdict(figures).items():
        if name == "promises_kept":
            continue
        label = name.replace("_", " ").replace("answers 429", "answers 429 (too many requests)")
        mark = "" if name not in must_be_zero else " [green]✓[/green]" if value == 0 else " [red]✗[/red]"
        table.add_row(label, f"{value}{mark}")
    verdict = "[green]every promise held[/green]" if figures.promises_kept else "[red]A PROMISE WAS BROKEN[/red]"
    table.add_section()
    table.add_row("verdict", verdict)
    return table


def _keep(console: Console, environment: dict[str, str], page: str) -> None:
    console.print(f"\nStill running. The visitors' chats: {page}/ — ask the ledger from another terminal:")
    console.print(f"  PUSHLEDGER_REDIS_URL={environment['PUSHLEDGER_REDIS_URL']} pushledger show order:1000")
    console.print("Ctrl-C ends it.")
    with suppress(KeyboardInterrupt):
        signal.pause()
