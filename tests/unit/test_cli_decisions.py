"""The verbs for decisions, the account and the map: options, exit statuses, what is printed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import redis
from click.testing import CliRunner, Result
from pushledger import AsyncMessages, Messages
from pushledger.cli import cli
from pushledger.errors import InvalidJob, RefusedDecision
from pushledger.ledger import Budget, LedgerPolicy, Settlement, parse_rate
from pushledger.ledger.ledger import AsyncLedger
from pushledger.settings import Settings

Run: TypeAlias = Callable[..., Result]
SENDER = ("--visitor", "v", "--agent", "a")


@pytest.fixture
def run(valkey_url: str, account: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line over a real ledger, an account of this test's own."""
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", valkey_url)
    monkeypatch.setenv("PUSHLEDGER_ACCOUNT", account)

    def invoke(*arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, input=stdin, prog_name="pushledger")

    return invoke


def begin(budget: Budget) -> None:
    """A worker begins a delivery."""

    async def deliver() -> None:
        settings = Settings()
        ledger = AsyncLedger.from_url(settings.redis_url, settings.account, LedgerPolicy(), settings.redis_timeout)
        await ledger.begin(budget)
        await ledger.close()

    asyncio.run(deliver())


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def settle(run: Run, kind: str, local_id: str = "order:1", **options: Any) -> None:
    """Create a message and settle its create."""
    assert run("create", local_id, *SENDER, "--text", "one").exit_code == 0

    async def deliver() -> None:
        settings = Settings()
        ledger = AsyncLedger.from_url(settings.redis_url, settings.account, LedgerPolicy(), settings.redis_timeout)
        claim = await ledger.claim(f"c-{local_id}", 1, timedelta(seconds=60), Budget())
        settlement = Settlement(kind=kind, **options)  # type: ignore[arg-type]
        await ledger.settle([(claim.messages[0], settlement)], Budget())
        await ledger.close()

    asyncio.run(deliver())


def fail(run: Run, local_id: str = "order:1") -> None:
    settle(run, "refused", local_id, status=400)


def hold(run: Run, local_id: str = "order:1") -> None:
    settle(run, "confirmed", local_id, status=200)  # an answer without an id


def state(run: Run, local_id: str = "order:1") -> str:
    found: str = document(run("show", local_id, "--json"))["state"]
    return found


# ---------------------------------------------------------------- decisions


@pytest.mark.parametrize(
    ("bring", "arguments", "ends"),
    [
        (fail, ("retry", "order:1"), "queued"),
        (fail, ("discard", "order:1"), "deleted"),
        (hold, ("resend", "order:1"), "queued"),
        (hold, ("resolve", "order:1", "--message-id", "m1"), "queued"),
        (hold, ("discard", "order:1"), "deleted"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_decision_says_the_state_it_brought(
    run: Run, bring: Callable[[Run], None], arguments: tuple[str, ...], ends: str
) -> None:
    bring(run)
    assert run(*arguments).stdout == f"order:1: {ends}\n"
    assert state(run) == ends


def test_a_decision_as_json(run: Run) -> None:
    fail(run)
    told = document(run("retry", "order:1", "--json"))
    assert told == {"local_id": "order:1", "decision": "retry", "state": "queued"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("retry", "order:1"), "retry: only a failed or expired message can be retried ('order:1')"),
        (("resend", "order:1"), "resend: only a held message can be resent or resolved ('order:1')"),
        (
            ("resolve", "order:1", "--message-id", "m"),
            "resolve: only a held message can be resent or resolved",
        ),
        (("resolve", "order:1", "--message-id", ".."), "message_id: must be an id of the API"),
        (("discard", "order:1"), "discard: only a failed, expired or held message can be discarded ('order:1')"),
        (("retry", "order:9"), "local_id: no live message has this id"),
    ],
)
def test_a_decision_that_does_not_fit_is_one_line_and_status_2(run: Run, arguments: tuple[str, ...], said: str) -> None:
    run("create", "order:1", *SENDER, "--text", "one")
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {said}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("retry",),
        ("resolve", "x"),
        ("forget", "--yes"),
        ("forget", "x", "--visitor", "v", "--yes"),
        ("pause", "--for", "soon"),
        ("pause", "--for", "0s"),
        ("pause", "--for", "4000d"),
        ("status", "--rate", "often"),
        ("adopt", "x"),
        ("adopt", "--message-id", "m"),
        ("adopt", "x", "--from-csv", "-"),
        ("adopt", "x", "--message-id", "m", "--agent", "a"),
        ("adopt", "x", "--message-id", "m", "--visitor", "v", "--agent", "a", "--group", "g"),
        ("adopt", "x", "--message-id", "m", "--version", "new"),
        ("import", "no-such-file"),
    ],
    ids=" ".join,
)
def test_wrong_input_is_status_2(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, stdin="")
    assert result.exit_code == 2
    assert "Error: " in result.stderr


@pytest.mark.parametrize("verb", ["retry", "resend", "discard"])
def test_a_ledger_that_is_away_is_status_1(run: Run, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", "redis://127.0.0.1:1/0")
    result = run(verb, "order:1")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)


# ---------------------------------------------------------------- forget


def test_a_message_is_forgotten_when_confirmed(run: Run) -> None:
    run("create", "order:1", *SENDER, "--text", "one")
    refused = run("forget", "order:1", stdin="n\n")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert state(run) == "queued"
    assert run("forget", "order:1", stdin="y\n").stdout == "1 forgotten\n"
    assert run("show", "order:1").exit_code == 1
    again = run("forget", "order:1", "--yes")
    assert (again.exit_code, again.stderr) == (1, "Error: no message has the local id 'order:1'\n")


def test_a_visitor_is_forgotten(run: Run) -> None:
    for local_id, visitor in (("order:1", "v"), ("order:2", "v"), ("order:3", "w")):
        run("create", local_id, "--visitor", visitor, "--agent", "a", "--text", "one")
    assert document(run("forget", "--visitor", "v", "--yes", "--json")) == {"forgotten": 2}
    assert [m["local_id"] for m in document(run("list", "--state", "queued", "--json"))] == ["order:3"]
    assert run("forget", "--visitor", "v", "--yes").stdout == "0 forgotten\n"


# ---------------------------------------------------------------- the account


def test_a_pause_is_shown_wherever_a_message_waits(run: Run) -> None:
    run("create", "order:1", *SENDER, "--text", "one")
    assert run("pause", "--for", "10m", "--reason", "sale \x1b[2J").stdout.endswith(": sale \\x1b[2J\n")
    paused = document(run("status", "--json"))["pause"]
    assert (paused["reason"], paused["trouble"]) == ("sale \x1b[2J", False)
    assert timedelta(minutes=9) < datetime.fromisoformat(paused["until"]) - datetime.now(UTC) <= timedelta(minutes=10)
    assert document(run("show", "order:1", "--json"))["waits"] == [{"reason": "paused", "until": paused["until"]}]
    assert "\nwaits for:       paused until " in run("show", "order:1").stdout
    assert " paused until " in run("list", "--state", "queued").stdout.splitlines()[1]
    assert "paused:        until " in run("status").stdout

    assert document(run("resume", "--json")) == {"pause": None}
    assert document(run("show", "order:1", "--json"))["waits"] == []
    assert run("resume").stdout == "resumed\n"


def test_a_pause_without_a_time_lasts_until_resumed(run: Run) -> None:
    until = datetime.fromisoformat(document(run("pause", "--json"))["pause"]["until"])
    assert until - datetime.now(UTC) > timedelta(days=364)


def test_status_tells_how_the_account_stands(run: Run, account: str) -> None:
    settle(run, "confirmed", "order:0", message_id="m0", status=200)
    fail(run, "order:1")
    for number in range(2, 5):
        run("create", f"order:{number}", *SENDER, "--text", "one")
    told = document(run("status", "--rate", "2/hour", "--json"))
    assert (told["account"], told["waiting"], told["calls_left"]) == (account, 3, 2)
    assert (told["counts"]["queued"], told["counts"]["failed"], told["counts"]["known"]) == (3, 1, 1)
    assert (told["counters"]["jobs"], told["counters"]["calls"]) == (5, 2)
    assert told["drained_in_seconds"] == 3600
    assert datetime.fromisoformat(told["oldest_due"]) <= datetime.fromisoformat(told["now"])

    lines = run("status", "--rate", "off").stdout.splitlines()
    assert "calls left:    no limit" in lines
    assert "paused:        no" in lines


def test_a_forecast_is_made_with_the_budget_that_the_workers_keep_to(run: Run) -> None:
    """Whatever is set where it is asked for; and what the General tier allows before any worker has begun."""
    assert document(run("status", "--json"))["calls_left"] == 100
    begin(Budget(parse_rate("7/minute, 50/hour"), 0.5))
    assert document(run("status", "--json"))["calls_left"] == 7
    assert document(run("status", "--rate", "3/minute", "--json"))["calls_left"] == 3, "unless another is named"
    begin(Budget())
    assert document(run("status", "--json"))["calls_left"] is None


@pytest.mark.parametrize(
    "told", ["", "garbage", "0.2 x/y", "0.2 5/0", "5 100/3600000", "nan 1/1000", f"0 5/{'9' * 30}"]
)
def test_a_budget_that_cannot_be_read_breaks_no_command(run: Run, valkey_url: str, account: str, told: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        client.set(f"pushledger:{{{account}}}:rate", told)
    assert document(run("status", "--json"))["calls_left"] == 100


# ---------------------------------------------------------------- adopt


def test_a_message_is_adopted(run: Run) -> None:
    known = ("--visitor", "v", "--agent", "a", "--text", "one", "--version", "7")
    for _ in range(2):
        assert run("adopt", "order:1", "--message-id", "m1", *known).stdout == "order:1: delivered\n"
    shown = document(run("show", "order:1", "--json"))
    assert (shown["message_id"], shown["version"], shown["revision"]) == ("m1", 7, 1)
    assert document(run("upsert", "order:1", *SENDER, "--text", "one", "--json"))["outcome"] == "unchanged"
    other = run("adopt", "order:1", "--message-id", "m2")
    assert (other.exit_code, "a live message with other content" in other.stderr) == (2, True)


CSV = "\ufefflocal_id,message_id,visitor_id,agent_id,text,version\r\n" + 'order:1,m1,v,a,"one\nline",7\r\n'
BAD = "order:2,..,,,,\r\norder:3,m3,,a,,\r\n,m4,,,,\r\norder:5,m5\r\n\r\norder:6,m6,,,,new\r\norder:7,m7,,,,\r\n"


def test_many_are_adopted_from_a_file_and_bad_lines_are_told(run: Run, tmp_path: Path) -> None:
    """A byte order mark, line ends in a text, empty lines: a file from a spreadsheet. Twice is harmless."""
    file = tmp_path / "map.csv"
    file.write_text(CSV + BAD, newline="", encoding="utf-8")
    for _ in range(2):
        result = run("adopt", "--from-csv", str(file))
        assert (result.exit_code, result.stdout) == (1, "2 adopted, 5 bad\n")
        assert [line.split(":")[:2] for line in result.stderr.splitlines()] == [
            ["line 4", " message_id"],
            ["line 5", " visitor_id"],
            ["line 6", " local_id"],
            ["line 7", " must have 6 cells, as the header has"],
            ["line 9", " version"],
        ]
    with Messages.from_env() as messages:
        assert [messages.message_id(f"order:{n}") for n in range(1, 8)] == ["m1", *[None] * 5, "m7"]


def test_a_good_file_is_status_0(run: Run) -> None:
    assert document(run("adopt", "--from-csv", "-", "--json", stdin=CSV)) == {"adopted": 1, "bad": 0}


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 2), (b"id,message_id\n", 2), (b"local_id,message_id,local_id\n", 2), (b"local_id,message_id\n\xff,m\n", 1),
     (b'local_id,message_id\na,"m', 1), (b"local_id,message_id\n", 0)],
)  # fmt: skip
def test_a_file_that_is_none(run: Run, content: bytes, status: int) -> None:
    result = run("adopt", "--from-csv", "-", stdin=content)
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output


# ---------------------------------------------------------------- export and import


def test_a_map_goes_out_and_comes_back(run: Run, account: str, tmp_path: Path) -> None:
    for number in range(3):
        run("adopt", f"order:{number}", "--message-id", f"m{number}", *SENDER, "--text", "one")
    file = tmp_path / "map.jsonl"
    assert run("export", str(file)).stdout == "3 exported\n"
    header, *lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert (header["format"], header["account"]) == ("pushledger-map-1", account)
    assert sorted(line["local_id"] for line in lines) == ["order:0", "order:1", "order:2"]
    run("forget", "order:0", "--yes")

    assert run("import", str(file)).stdout == "1 restored, 2 known, 0 bad\n"
    assert document(run("import", str(file), "--json")) == {"restored": 0, "known": 3, "bad": 0}
    assert document(run("upsert", "order:0", *SENDER, "--text", "one", "--json"))["outcome"] == "unchanged"


def test_an_export_to_stdout_is_nothing_but_the_map(run: Run) -> None:
    run("adopt", "order:1", "--message-id", "m1")
    result = run("export")
    assert [sorted(json.loads(line)) for line in result.stdout.splitlines()][1:] == [["entry", "local_id"]]
    assert result.stderr == "1 exported\n"


def test_another_accounts_map_is_taken_only_when_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digests mean nothing here: a restored message takes the first target that is named, and is edited."""
    run("adopt", "order:1", "--message-id", "m1", *SENDER, "--text", "one", "--version", "3")
    exported = run("export").stdout
    monkeypatch.setenv("PUSHLEDGER_ACCOUNT", Settings().account + "-b")
    refused = run("import", "-", stdin=exported)
    assert (refused.exit_code, "--any-account" in refused.stderr) == (2, True)
    assert run("import", "-", "--any-account", stdin=exported).stdout == "1 restored, 0 known, 0 bad\n"
    shown = document(run("show", "order:1", "--json"))
    assert (shown["message_id"], shown["version"]) == ("m1", 3)
    assert document(run("upsert", "order:1", *SENDER, "--text", "one", "--json"))["outcome"] == "queued"


@pytest.mark.parametrize("header", ["", "{}", "[]", '{"format": "other"}', "local_id,message_id"])
def test_what_is_no_map_is_refused(run: Run, header: str) -> None:
    result = run("import", "-", "--any-account", stdin=header + "\n")
    assert (result.exit_code, "no map of the format" in result.stderr) == (2, True)


def test_bad_lines_of_a_map_are_told_and_left_out(run: Run) -> None:
    run("adopt", "order:1", "--message-id", "m1")
    exported = run("export").stdout
    run("forget", "order:1", "--yes")
    bad = '{"local_id": "order:2", "entry": "2 x"}\n{"entry": "1"}\n{"local_id": "order:3", "en'
    result = run("import", "-", stdin=exported + bad)
    assert (result.exit_code, result.stdout) == (1, "1 restored, 0 known, 3 bad\n")
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["line 3", "line 4", "line 5"]


# ---------------------------------------------------------------- the same for asyncio


def test_the_asyncio_face_decides_too(run: Run) -> None:
    fail(run, "order:1")
    hold(run, "order:2")
    hold(run, "order:3")

    async def decide() -> list[object]:
        async with AsyncMessages.from_env() as messages:
            await messages.pause(timedelta(minutes=1), "sale")
            paused = (await messages.account()).pause
            found: list[object] = [paused and paused.reason, [w.reason for w in await messages.why("order:2")]]
            await messages.resume()
            found += [await messages.retry("order:1"), await messages.resend("order:2"), await messages.why("order:9")]
            found += [await messages.resolve("order:3", "m3"), await messages.forget("order:3")]
            with pytest.raises(RefusedDecision):
                await messages.discard("order:1")
            with pytest.raises(InvalidJob):
                await messages.pause(timedelta(0))
            return found

    assert asyncio.run(decide()) == ["sale", ["person"], "queued", "queued", (), "queued", True]
