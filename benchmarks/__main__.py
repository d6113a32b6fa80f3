"""`make bench`: everything in one run, contenders taking turns. Some twenty-five minutes; `--quick` four."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.contenders import CONTENDERS, OURS, Fleet, steps
from benchmarks.delivery import Delivered, bare_loop, deliver, idle
from benchmarks.enqueue import WAYS, Enqueued
from benchmarks.folding import Shown, burst, limited
from benchmarks.footprint import fill, footprint
from benchmarks.processes import server
from benchmarks.report import Figure, Section, draw, page

RESULTS = Path(__file__).parent / "results"
LIMIT = (60, 10.0)


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything."""

    rounds: int
    enqueued: int
    at_once: int
    slow: int
    large: int
    recipes_wait: float
    processes: tuple[int, ...]


FULL = Size(3, 3_000, 10_000, 3_000, 1_000_000, 60, (1, 2, 4, 8))
QUICK = Size(1, 1_000, 2_000, 1_000, 100_000, 25, (1, 2))


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _figure(runs: list[Delivered] | list[Enqueued] | list[Shown], field: str, scale: float = 1) -> Figure:
    return Figure(tuple(getattr(run, field) * scale for run in runs))


def enqueueing(size: Size) -> tuple[Section, dict[str, Figure]]:
    """(a), with few and with very many messages in the ledger."""
    rows, bars = [], {}
    for older in (0, size.large):
        runs: dict[str, list[Enqueued]] = {name: [] for name in WAYS}
        with server() as redis:
            fill(redis, older)
            for number, (name, (way, times)) in product(range(size.rounds), WAYS.items()):
                _say(f"(a) enqueue, {older:,} older messages, round {number + 1}: {name}")
                runs[name].append(way(redis, size.enqueued * times))
                with redis.client() as client, redis.client(3) as broker:
                    broker.flushdb()
                    for key in client.scan_iter("pushledger:*[esu]:*order:*", count=10_000):
                        client.unlink(key)
                    client.delete(*(f"pushledger:{{default}}:{key}" for key in ("due:normal", "state:queued", "wake")))
        least = _figure(runs["Celery apply_async"], "rate").median
        for name, found in runs.items():
            rate = _figure(found, "rate")
            who = name if name.startswith("Celery") else f"pushledger {name}"
            if not older:
                bars[who] = rate
            p50, p99 = (_figure(found, field).text(2) if found[0].p50_ms else "" for field in ("p50_ms", "p99_ms"))
            rows.append((who, f"{older:,}", rate.text(0), f"{rate.median / least:.1f}", p50, p99))
    words = "Jobs a second from one process; the ledger keeps an append-only file, as in production."
    columns = ("", "older messages in the ledger", "jobs/s", "times apply_async", "p50 ms", "p99 ms")
    return Section("Enqueue", words, columns, rows), bars


def delivering(size: Size) -> tuple[Iterator[Section], dict[str, dict[str, Figure]]]:
    """(b) beside the recipes."""
    sections, bars = [], dict[str, dict[str, Figure]]()
    for latency, messages in ((0, size.at_once), (100, size.slow)):
        runs: dict[str, list[Delivered]] = {one.name: [] for one in CONTENDERS}
        bare: list[float] = []
        for number, contender in product(range(size.rounds), CONTENDERS):
            _say(f"(b) deliver {messages:,} at {latency} ms, round {number + 1}: {contender.name}")
            own = contender is OURS or latency > 0
            with server() as redis:
                runs[contender.name].append(
                    deliver(contender, redis, messages, latency, Fleet(inflight=50 if own else 1))
                )
            if contender is OURS and not latency:
                bare.append(bare_loop(messages))
        rows = [
            (
                name,
                _figure(found, "rate").text(0),
                _figure(found, "worker_ms").text(2),
                _figure(found, "server_ms").text(2),
                _figure(found, "memory", 1 / 2**20).text(0),
                _figure(found, "api_busy", 100).text(0),
            )
            for name, found in runs.items()
        ]
        if bare:
            rows.append(("bare loop of httpx", "", Figure(tuple(bare)).text(2), "", "", ""))
        words = (
            f"{messages:,} distinct messages, enqueued while the workers wait; two worker processes "
            + (
                "(Celery: prefork)."
                if not latency
                else "with 50 calls in the air each (Celery: as many threads): at most 1,000/s."
            )
            + " The last column says how busy the API's stand-in kept a core: it is not what limits."
        )
        columns = (
            "",
            "messages/s",
            "worker CPU, ms each",
            "Redis CPU, ms each",
            "worker memory, MiB",
            "stand-in, % of a core",
        )
        sections.append(Section(f"Deliver, the API answering in {latency} ms", words, columns, rows))
        bars[f"messages/s, API at {latency} ms"] = {name: _figure(found, "rate") for name, found in runs.items()}
        if not latency:
            costs = {name: _figure(found, "worker_ms") for name, found in runs.items()}
            bars["worker CPU, ms for each message, API at 0 ms"] = {**costs, "bare loop of httpx": Figure(tuple(bare))}
    return iter(sections), bars


def folding(size: Size) -> Section:
    """(c)"""
    rows = []
    for robin, fold in product((False, True), ("0s", "0.1s", "1s")):
        jobs, found = steps(500, 10, robin), list[Shown]()
        for number in range(size.rounds):
            _say(f"(c) burst, FOLD_FOR={fold}, round {number + 1}")
            with server() as redis:
                found.append(burst(redis, jobs, {"PUSHLEDGER_FOLD_FOR": fold}))
        how = "in rounds" if robin else "id by id"
        calls, wrong = _figure(found, "calls", 1 / 500).text(2), _figure(found, "wrong").text(0)
        rows.append((how, fold, calls, wrong, _figure(found, "seconds").text(1)))
    words = (
        "500 messages with 10 versions each, a call for each job, while workers run and the API answers at once: the "
        "worst case "
        "for folding, as the workers keep up with the shop. A recipe makes 10 calls for each message."
    )
    return Section("Burst", words, ("order", "FOLD_FOR", "calls for each message", "wrong texts", "seconds"), rows)


def under_a_limit(size: Size) -> Section:
    """(d)"""
    rows = []
    for contender, running in product(CONTENDERS, (False, True)):
        found = list[Shown]()
        for number in range(size.rounds if contender is OURS else 1):
            _say(f"(d) {LIMIT[0]} calls in {LIMIT[1]:g} s, round {number + 1}: {contender.name}")
            with server() as redis:
                found.append(limited(contender, redis, 100, LIMIT, running, size.recipes_wait))
        rows.append(
            (
                contender.name,
                "while workers run" if running else "beforehand",
                *(_figure(found, field).text(0) for field in ("calls", "throttled", "wrong")),
                _figure(found, "seconds").text(1),
            )
        )
    words = (
        f"100 messages with 3 versions each, {LIMIT[0]} calls allowed in {LIMIT[1]:g} s. Broken off after "
        f"{size.recipes_wait:g} s, whatever was wrong then."
    )
    return Section("A limit of calls", words, ("", "enqueued", "calls", "answers 429", "wrong texts", "seconds"), rows)


def memory(size: Size) -> Section:
    """(e)"""
    rows = []
    for messages, restored in ((size.large // 10, False), (size.large // 10, True), (size.large, True)):
        _say(f"(e) what {messages:,} delivered messages take")
        with server() as redis:
            found = footprint(redis, messages, restored)
        how = "just delivered" if not restored else "a week later"
        rows.append((f"{messages:,}", how, f"{found.entry:.0f}", f"{found.all:.0f}"))
    words = (
        "The map's entry stays for ever. Just delivered, a message also has its receipts (15 minutes) and its timeline "
        "(a week, by default)."
    )
    return Section("Memory", words, ("delivered messages", "", "the map's entry, bytes", "all of it, bytes"), rows)


def growing(size: Size) -> Section:
    """(f)"""
    rows = []

    def row(words: str, older: int, processes: int) -> None:
        found = list[Delivered]()
        for number in range(size.rounds):
            _say(f"(f) {words}, round {number + 1}")
            with server() as redis:
                fill(redis, older)
                found.append(deliver(OURS, redis, size.at_once, 0, Fleet(processes=processes)))
        costs = (_figure(found, field).text(2) for field in ("worker_ms", "server_ms"))
        rows.append((words, _figure(found, "rate").text(0), *costs))

    for older in (size.large // 100, size.large):
        row(f"{older:,} older messages, 2 processes", older, 2)
    for processes in size.processes:
        row(f"{processes} processes", 0, processes)
    _say("(f) an idle worker")
    with server() as redis:
        resting = idle(redis)
    words = (
        "The same delivery at 0 ms, with more in the ledger, and with more processes on the same cores. A worker that "
        f"has nothing to do takes {resting:.1%} of a core."
    )
    return Section("Growth", words, ("", "messages/s", "worker CPU, ms each", "Redis CPU, ms each"), rows)


def main() -> None:
    """Measure, write the page and the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, one round")
    size = QUICK if parser.parse_args().quick else FULL
    enqueued, enqueue_bars = enqueueing(size)
    delivered, bars = delivering(size)
    rest: tuple[Callable[[Size], Section], ...] = (folding, under_a_limit, memory, growing)
    sections = [enqueued, *delivered, *(measure(size) for measure in rest)]
    machine = f"{os.cpu_count()} cores, everything on one machine, Python {platform.python_version()}."
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "figures.md").write_text(page(machine, sections), encoding="utf-8")
    title = "pushledger beside two Celery recipes, one run, medians"
    draw(RESULTS / "figures.png", title, {"jobs/s enqueued": enqueue_bars, **bars})
    print((RESULTS / "figures.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
