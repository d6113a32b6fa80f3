"""The command line: verbs, options, exit statuses, and what is printed."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import EntryPoint, version
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result
from pushledger import AsyncMessages, Messages
from pushledger.cli import Verbs, cli
from pushledger.ledger import Budget, Ledger, LedgerPolicy, Settlement
from pushledger.ledger.ledger import AsyncLedger
from pushledger.message import LastError
from pushledger.settings import Settings
from pushledger.terminal import printable

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


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


# ---------------------------------------------------------------- verbs that change


def test_each_verb_says_what_became_of_the_job(run: Run) -> None:
    assert run("create", "order:1", *SENDER, "--text", "one").stdout == "order:1: queued, revision 1\n"
    assert run("update", "order:1", "--text", "two").stdout == "order:1: folded, revision 2\n"
    assert run("upsert", "order:1", *SENDER, "--text", "three").stdout == "order:1: folded, revision 3\n"
    assert run("delete", "order:1").stdout == "order:1: cancelled, revision 4\n"


def test_a_receipt_as_json(run: Run) -> None:
    result = run("upsert", "order:1", "--visitor", "v", "--group", "g", "--text", "one", "--json")
    assert document(result) == {"local_id": "order:1", "revision": 1, "outcome": "queued"}
    assert result.stderr == ""


def test_every_option_reaches_the_job(run: Run) -> None:
    options = ("--priority", "low", "--not-before", "2999-01-01T00:00:00Z", "--expires-at", "2999-01-02T00:00:00Z")
    more = ("--version", "7", "--job-id", "j1", "--max-resends", "0", "--kind", "pushed")
    assert run("create", "order:1", *SENDER, "--text", "one", *options, *more).exit_code == 0
    shown = document(run("show", "order:1", "--json"))
    assert (shown["priority"], shown["version"]) == ("low", 7)
    assert shown["next_attempt_at"] == "2999-01-01T00:00:00+00:00"
    again = run("create", "order:1", *SENDER, "--text", "one", *options, *more, "--json")
    assert document(again)["outcome"] == "queued", "the same job id answers with the same receipt"


def test_a_version_may_be_a_time(run: Run) -> None:
    run("upsert", "order:1", *SENDER, "--text", "new", "--version", "2026-02-01T00:00:00+00:00")
    older = run("upsert", "order:1", *SENDER, "--text", "old", "--version", "2026-01-31T00:00:00+00:00", "--json")
    assert document(older)["outcome"] == "stale"


@pytest.mark.parametrize(
    ("stdin", "text"), [("two\nlines\n", "two\nlines"), ("one", "one"), ("crlf\r\n", "crlf"), ("a\n\n", "a\n")]
)
def test_a_dash_reads_the_text_from_stdin_without_its_last_line_end(run: Run, stdin: str, text: str) -> None:
    assert run("create", "order:1", *SENDER, "--text", "-", stdin=stdin).exit_code == 0
    assert document(run("show", "order:1", "--json"))["text"] == text


# ---------------------------------------------------------------- exit statuses


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "x", "--visitor", "v", "--text", "t"), "agent_id: give exactly one"),
        (("create", "x", *SENDER, "--text", " "), "text: must be text"),
        (("create", "x", *SENDER, "--text", "t", "--version", "new"), "version: must be a time"),
        (("create", "x", *SENDER, "--text", "t", "--not-before", "2026-01-01"), "not_before: must be a datetime"),
        (("create", "x", *SENDER, "--text", "t", "--kind", "sms"), "kind: must be"),
        (("create", "x", *SENDER, "--text", "t", "--max-resends", "99"), "max_resends: must be"),
        (("update", "unheard-of", "--text", "t"), "local_id: no live message has this id"),
        (("delete", "unheard-of"), "local_id: no live message has this id"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_a_refused_job_is_one_line_and_status_2(run: Run, arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {said}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "x"),
        ("update",),
        ("delete", "x", "--priority", "urgent"),
        ("list",),
        ("list", "--state", "lost"),
        ("list", "--state", "failed", "--limit", "0"),
        ("show", "x", "--yaml"),
        ("nonsense",),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr


def test_text_that_is_no_utf_8_is_wrong_input(run: Run) -> None:
    piped = run("create", "x", *SENDER, "--text", "-", stdin=b"\xff")
    assert (piped.exit_code, "must be UTF-8" in piped.stderr) == (2, True)
    named = run("show", "\udcff")
    assert (named.exit_code, "must be valid UTF-8" in named.stderr) == (2, True)


def test_a_bad_setting_is_one_line_and_status_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHLEDGER_RETENTION", "for ever")
    result = run("show", "order:1")
    assert result.exit_code == 2
    assert result.stderr == "Error: PUSHLEDGER_RETENTION: must be a duration like 30s, 10m, 2h or 7d\n"


@pytest.mark.parametrize("arguments", [("show", "x"), ("list", "--state", "held"), ("delete", "x")], ids=" ".join)
def test_a_ledger_that_is_away_is_one_line_and_status_1(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PUSHLEDGER_REDIS_URL", "redis://127.0.0.1:1/0")
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the ledger's Redis")
    assert result.stderr.count("\n") == 1


def test_an_interrupt_is_status_130(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = call(tmp_path, monkeypatch, "def verb(): raise KeyboardInterrupt", "verb_interrupted:verb")
    assert result.exit_code == 130


# ---------------------------------------------------------------- show and list


def test_show_tells_the_message_and_its_timeline(run: Run) -> None:
    run("create", "order:1", *SENDER, "--text", "one")
    run("update", "order:1", "--text", "two")
    shown = document(run("show", "order:1", "--json"))
    timeline = shown.pop("timeline")
    assert shown["waits"] == []
    with Messages.from_env() as messages:
        message = messages.get("order:1")
    assert message is not None
    assert shown == message.to_json()
    assert [event["event"] for event in timeline] == ["accepted", "accepted", "folded"]
    assert set(timeline[0]) == {"at", "event", "detail"}

    lines = run("show", "order:1").stdout.splitlines()
    assert "text:            two" in lines
    assert lines[-1].endswith("folded")


@pytest.mark.parametrize("json_flag", [(), ("--json",)])
def test_show_of_an_unknown_id_is_one_line_and_status_1(run: Run, json_flag: tuple[str, ...]) -> None:
    result = run("show", "order:9", *json_flag)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: no message has the local id 'order:9'\n"


def test_list_is_a_table(run: Run) -> None:
    run("create", "order:1", *SENDER, "--text", "one", "--not-before", "2999-01-01T00:00:00Z")
    run("create", "order:with-a-longer-id", *SENDER, "--text", "two", "--not-before", "2999-01-02T00:00:00Z")
    first, second = "2999-01-01 00:00:00+00:00", "2999-01-02 00:00:00+00:00"
    assert run("list", "--state", "queued").stdout.splitlines() == [
        f"{'LOCAL ID':<22}  STATE   REASON  {'WAITS FOR':<42}  REVISION  ATTEMPTS  {'NEXT ATTEMPT':<25}  LAST ERROR",
        f"order:1                 queued  -       not before until {first}  1         0         {first}  -",
        f"order:with-a-longer-id  queued  -       not before until {second}  1         0         {second}  -",
    ]
    assert [message["local_id"] for message in document(run("list", "--state", "queued", "--json"))] == [
        "order:1",
        "order:with-a-longer-id",
    ]
    assert len(document(run("list", "--state", "queued", "--limit", "1", "--json"))) == 1


def test_list_of_nothing(run: Run) -> None:
    empty = run("list", "--state", "failed")
    assert (empty.exit_code, empty.stdout, empty.stderr) == (0, "", "")
    assert document(run("list", "--state", "failed", "--json")) == []


@pytest.mark.parametrize("json_flag", [(), ("--json",)])
def test_nothing_delivered_hints_at_the_retention_on_stderr(run: Run, json_flag: tuple[str, ...]) -> None:
    result = run("list", "--state", "delivered", *json_flag)
    assert result.exit_code == 0
    assert result.stdout == ("[]\n" if json_flag else "")
    assert "PUSHLEDGER_RETENTION" in result.stderr


def test_refused_jobs_are_listed(run: Run) -> None:
    refused = {"local_id": "order:\x1b[31m9", "verb": "update", "error": "UnknownLocalId", "field": "local_id"}
    ledger = ledger_of(Settings())
    ledger.refuse(json.dumps(refused))
    ledger.close()
    assert document(run("list", "--state", "refused", "--json")) == [refused]
    assert asyncio.run(_refused()) == [refused]
    titles, row = run("list", "--state", "refused").stdout.splitlines()
    assert titles.split() == ["LOCAL", "ID", "VERB", "ERROR", "FIELD", "RULE", "AT"]
    assert row.split() == ["order:\\x1b[31m9", "update", "UnknownLocalId", "local_id", "-", "-"]


async def _refused() -> list[dict[str, object]]:
    async with AsyncMessages.from_env() as messages:
        return await messages.refused()


def ledger_of(settings: Settings) -> Ledger:
    return Ledger.from_url(settings.redis_url, settings.account, settings.policy(), settings.redis_timeout)


# ---------------------------------------------------------------- text of others on a terminal

HOSTILE = "order:\x1b]0;title\x07\x9b31m\x7f\r\n\u202e\u2028"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 注文 👩‍🚀", "plain ü 注文 👩‍🚀"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\tc\r\x00", "a\\nb\\tc\\r\\x00"),
        ("\x7f\x85\x9b", "\\x7f\\x85\\x9b"),
        ("\u202e\u2066\u2028", "\\u202e\\u2066\\u2028"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_could_steer_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_hostile_local_id_stays_text(run: Run) -> None:
    shown = printable(HOSTILE)
    created = run("create", HOSTILE, *SENDER, "--text", HOSTILE)
    assert created.stdout == f"{shown}: queued, revision 1\n"
    for result in (
        run("show", HOSTILE),
        run("list", "--state", "queued"),
        run("create", HOSTILE, *SENDER, "--text", "other"),
        run("show", HOSTILE + "?"),
        run("show", "-" + HOSTILE),
        run("update", HOSTILE, "--text", "x", "--version", HOSTILE),
    ):
        assert not set(HOSTILE) & set(result.output.replace("\n", "")) - set(shown), result.output
    assert document(run("show", HOSTILE, "--json"))["local_id"] == HOSTILE
    assert run("show", HOSTILE, "--json").stdout.isascii()


async def _fail(settings: Settings, detail: str) -> None:
    ledger = AsyncLedger.from_url(settings.redis_url, settings.account, LedgerPolicy(), settings.redis_timeout)
    budget = Budget()
    claim = await ledger.claim("c1", 1, timedelta(seconds=60), budget)
    error = LastError("answered", 400, "bad_visitor", detail)
    await ledger.settle([(claim.messages[0], Settlement(kind="refused", status=400, error=error))], budget)
    await ledger.close()


def test_an_error_in_words_of_the_api_stays_text(run: Run) -> None:
    run("create", "order:1", *SENDER, "--text", "one")
    asyncio.run(_fail(Settings(), "no \x1b[2J visitor"))
    row = run("list", "--state", "failed").stdout.splitlines()[1]
    assert row.endswith("answered 400 bad_visitor no \\x1b[2J visitor")
    assert "refused" in row


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        ("pushledger.LedgerUnavailable", 1),
        ("pushledger.SettingsError", 2),
        ("pushledger.PushledgerError", 1),
        ("click.ClickException", 1),
    ],
)
def test_the_words_of_an_error_stay_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, exit_code: int
) -> None:
    code = f"def verb():\n    import pushledger\n    raise {error}('bell \\x07')"
    result = call(tmp_path, monkeypatch, code, f"verb_words_{error.rpartition('.')[2]}:verb")
    assert (result.exit_code, result.stderr) == (exit_code, "Error: bell \\x07\n")


# ---------------------------------------------------------------- verbs from entry points


def call(path: Path, monkeypatch: pytest.MonkeyPatch, code: str, value: str, *arguments: str) -> Result:
    """Run a verb that is made of some lines of code, or its help if `--list` is asked for."""
    module = value.partition(":")[0]
    (path / f"{module}.py").write_text(f"import click\n@click.command()\n{code}\n" if "def " in code else code)
    monkeypatch.syspath_prepend(str(path))
    group = Verbs(name="pushledger", verbs=[EntryPoint("verb", value, "pushledger.commands")])
    wanted = ["--help"] if arguments == ("--list",) else ["verb", *arguments]
    return CliRunner().invoke(group, wanted, prog_name="pushledger", terminal_width=200)


NEEDS = "needs: pip install 'pushledger[worker]'"


@pytest.mark.parametrize("arguments", [(), ("--help",), ("x", "--concurrency", "2")], ids=" ".join)
def test_a_verb_without_its_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    code, value = "import package_nobody_has.client", "verb_without_extra:verb [worker]"
    result = call(tmp_path, monkeypatch, code, value, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: pushledger verb {NEEDS}\n"


def test_a_verb_without_its_extra_stays_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = call(tmp_path, monkeypatch, "import package_nobody_has", "verb_listed:verb [worker]", "--list")
    assert result.exit_code == 0
    assert f"verb  ({NEEDS})" in result.stdout


def test_an_extra_that_is_first_needed_when_the_verb_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "def verb():\n    import package_nobody_has"
    result = call(tmp_path, monkeypatch, code, "verb_lazy:verb [worker]")
    assert (result.exit_code, result.stderr) == (2, f"Error: pushledger verb {NEEDS}\n")


@pytest.mark.parametrize(
    ("code", "value", "kind"),
    [
        ("import verb_bug_own.missing", "verb_bug_own:verb [worker]", ModuleNotFoundError),
        ("import pushledger.missing", "verb_bug_ours:verb [worker]", ModuleNotFoundError),
        ("import json.missing", "verb_bug_part:verb [worker]", ModuleNotFoundError),  # the package itself is there
        ("import package_nobody_has", "verb_bug_base:verb", ModuleNotFoundError),  # no extra would bring it
        ("1 / 0", "verb_bug_code:verb [worker]", ZeroDivisionError),
        ("verb2 = 1", "verb_bug_name:verb [worker]", AttributeError),
        ("def verb(): raise ModuleNotFoundError", "verb_bug_raise:verb [worker]", ModuleNotFoundError),
        ("def verb(): 1 / 0", "verb_bug_run:verb [worker]", ZeroDivisionError),
    ],
)
def test_a_bug_surfaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, value: str, kind: type[Exception]
) -> None:
    assert isinstance(call(tmp_path, monkeypatch, code, value).exception, kind)
    listed = call(tmp_path, monkeypatch, code, value, "--list")
    assert listed.exit_code == 0, "one broken verb must not take the list away"


def test_a_verb_whose_own_package_is_gone_is_a_broken_installation() -> None:
    group = Verbs(name="pushledger", verbs=[EntryPoint("verb", "package_nobody_has.commands:verb [worker]", "g")])
    assert isinstance(CliRunner().invoke(group, ["verb"]).exception, ModuleNotFoundError)


def test_all_installed_verbs_are_listed() -> None:
    result = CliRunner().invoke(cli, ["--help"], prog_name="pushledger")
    assert result.exit_code == 0
    for verb in ("create", "update", "upsert", "delete", "show", "list", "worker", "sandbox", "demo", "up"):
        assert f"\n  {verb} " in result.stdout


def test_the_version_is_the_packages() -> None:
    result = CliRunner().invoke(cli, ["--version"], prog_name="pushledger")
    assert result.stdout == f"pushledger {version('pushledger')}\n"


# ---------------------------------------------------------------- as a process


def test_a_reader_that_goes_away_gives_no_traceback(run: Run, valkey_url: str) -> None:
    for number in range(20):
        run("create", f"order:{number}", *SENDER, "--text", "x" * 20_000)
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from pushledger.cli import main; main()", "list", "--state", "queued", "--json"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


# ---------------------------------------------------------------- shell completion


def completed(words: str, at: int) -> list[str]:
    """What a shell is told at this word."""
    environment = {"_PUSHLEDGER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    done = subprocess.run(
        [sys.executable, "-c", "from pushledger.cli import main; main()"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "at", "offered"),
    [
        ("pushledger re", 1, ["resend", "resolve", "resume", "retry"]),
        ("pushledger verify --al", 2, ["--all-state"]),  # of a verb that needs an extra
        ("pushledger list --state f", 3, ["failed"]),
        ("pushledger list --state re", 3, ["retrying", "refused"]),
        ("pushledger retry --all-state ", 3, ["failed", "expired"]),
        ("pushledger presence o", 2, ["offline", "online"]),
        ("pushledger show order:", 2, []),
    ],
)
def test_verbs_options_and_states_are_completed(words: str, at: int, offered: list[str]) -> None:
    """Verbs are loaded late, and must be offered all the same."""
    assert completed(words, at) == offered


def test_a_verb_that_cannot_be_loaded_is_offered_and_breaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    group = Verbs(name="v", verbs=[EntryPoint("broken", "no_such_package:verb [extra]", "g"), _own("brave")])
    offered = ShellComplete(group, {}, "v", "_V_COMPLETE").get_completions([], "b")
    assert [item.value for item in offered] == ["brave", "broken"]
    assert capsys.readouterr() == ("", "")


def _own(name: str) -> EntryPoint:
    return EntryPoint(name, "pushledger.commands:show", "g")


def test_the_line_of_the_page_gives_a_script() -> None:
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
    assert 'eval "$(_PUSHLEDGER_COMPLETE=bash_source pushledger)"' in page
    for shell in ("zsh", "fish"):
        environment = {**os.environ, "_PUSHLEDGER_COMPLETE": f"{shell}_source"}
        done = subprocess.run(
            [sys.executable, "-c", "from pushledger.cli import main; main()"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "_PUSHLEDGER_COMPLETE" in done.stdout
