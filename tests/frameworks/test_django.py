"""Django: enqueue with or after the commit, the settings, the command, and the admin."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import Any

import pytest
from django.core.management import ManagementUtility, call_command
from django.core.management.base import SystemCheckError
from django.db import connection, connections, transaction
from django.test import Client, override_settings
from outbox_contract import OpenedStore, StoreContract, shown
from pushledger import Job, Message, SettingsError, Update
from pushledger_django import enqueue, job_lost, messages, pushledger_settings
from pushledger_outbox import Relay, StoreUnavailable, new_row
from pushledger_outbox.settings import OutboxSettings
from sqlalchemy import create_engine, inspect

Project = dict[str, Any]


class Oops(Exception):
    """Something in the shop went wrong."""


@pytest.fixture
def opened(project: Project) -> OpenedStore:
    from pushledger_django.models import OutboxRow
    from pushledger_django.store import DjangoStore

    def insert(*jobs: Job, account: str = "default") -> None:
        OutboxRow.objects.bulk_create(OutboxRow(**new_row(job, account)) for job in jobs)

    def insert_and_roll_back(*jobs: Job) -> None:
        with suppress(Oops), transaction.atomic():
            insert(*jobs)
            raise Oops

    return OpenedStore(DjangoStore("default"), insert, insert_and_roll_back, connections.close_all)


class TestDjangoOnSqlite(StoreContract):
    """The contract."""


def found(number: int) -> Message | None:
    return messages().get(f"order:{number}")


# ---------------------------------------------------------------- enqueue


def test_jobs_go_out_after_the_commit_and_none_of_what_is_rolled_back(project: Project) -> None:
    with transaction.atomic():
        enqueue(shown(1, "A"), Update("order:1", "B"))
        with suppress(Oops), transaction.atomic():
            enqueue(shown(2))
            raise Oops
        with transaction.atomic():
            enqueue(shown(3))
        assert found(1) is None
    message = found(1)
    assert message is not None
    assert (message.text, message.revision) == ("B", 2)
    assert found(2) is None
    assert found(3) is not None
    enqueue(shown(4))
    assert found(4) is not None, "without a transaction, at once"


def test_a_ledger_that_is_away_does_not_undo_the_commit_and_is_told(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    from django.contrib.auth.models import Group

    lost: list[str] = []

    def note(job: Job, **details: object) -> None:
        lost.append(job.local_id)

    job_lost.connect(note)
    with override_settings(PUSHLEDGER={**project, "REDIS_URL": "redis://127.0.0.1:1/0"}), transaction.atomic():
        Group.objects.create(name="order:1")
        enqueue(shown(1, "a text"))
    job_lost.disconnect(note)
    assert Group.objects.count() == 1
    assert lost == ["order:1"]
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "the upsert of order:1 is not recorded" in record.getMessage()
    assert "a text" not in caplog.text


def test_a_refusal_is_told_and_the_others_are_recorded(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    with transaction.atomic():
        enqueue(Update("order:1", "B"), shown(2))
    assert found(2) is not None
    assert "the update of order:1 is not recorded: local_id: no live message" in caplog.text


def test_with_the_outbox_jobs_are_rows_of_the_transaction(project: Project, valkey_url: str) -> None:
    from pushledger_django.store import open_outbox

    with override_settings(PUSHLEDGER={**project, "ENQUEUE": "outbox"}):
        with transaction.atomic():
            enqueue(shown(1, "A"), Update("order:1", "B"))
        with suppress(Oops), transaction.atomic():
            enqueue(shown(2))
            raise Oops
        settings, store = open_outbox()
        assert isinstance(settings, OutboxSettings)
        assert (found(1), store.standing().waiting) == (None, 2)
        relay = Relay(store, messages(), settings)
        while relay.step().taken:
            pass
        message = found(1)
        assert message is not None
        assert (message.text, message.revision, store.standing().waiting) == ("B", 2, 0)
        assert found(2) is None


def test_both_frameworks_keep_the_same_table(project: Project, tmp_path: Any) -> None:
    from pushledger_sqlalchemy import metadata

    file = connection.settings_dict["NAME"]
    ours, theirs = create_engine(f"sqlite:///{tmp_path}/shop.db"), create_engine(f"sqlite:///{file}")
    metadata.create_all(ours)
    columns = []
    for engine in (ours, theirs):
        looked = inspect(engine)
        columns.append([(c["name"], c["nullable"]) for c in looked.get_columns("pushledger_outbox")])
        indexes = sorted(index["column_names"] for index in looked.get_indexes("pushledger_outbox"))
        assert indexes == [["account", "id"], ["account", "local_id", "id"]]
        engine.dispose()
    assert columns[0] == columns[1]


def test_the_migrations_are_what_the_model_says(project: Project) -> None:
    call_command("makemigrations", "pushledger_django", check=True, dry_run=True, verbosity=0)


def test_a_table_that_is_missing_is_said_with_the_way_out(opened: OpenedStore) -> None:
    connection.cursor().execute("ALTER TABLE pushledger_outbox RENAME TO elsewhere")
    try:
        with pytest.raises(StoreUnavailable, match=r"migrate.*no such table"):
            opened.store.standing()
    finally:
        connection.cursor().execute("ALTER TABLE elsewhere RENAME TO pushledger_outbox")


# ---------------------------------------------------------------- settings


def test_the_environment_fills_what_the_project_leaves_out(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHLEDGER_RETENTION", "2h")
    monkeypatch.setenv("PUSHLEDGER_ACCOUNT", "another")
    with override_settings(PUSHLEDGER=dict(project)):
        settings = pushledger_settings()
    assert settings.retention.total_seconds() == 7200
    assert settings.account == project["ACCOUNT"], "what the project says goes first"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"REDIS_URL": "http://x"}, 'PUSHLEDGER["REDIS_URL"]: must start with redis://'),
        ({"ENQUEUE": "later"}, "PUSHLEDGER[\"ENQUEUE\"]: Input should be 'on_commit' or 'outbox'"),
        ({"REDISURL": "redis://x"}, 'PUSHLEDGER["REDISURL"]: there is no such setting; there are ACCOUNT, '),
        ("redis://x", "PUSHLEDGER: must be a dictionary"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_by_the_projects_check(project: Project, given: object, said: str) -> None:
    with override_settings(PUSHLEDGER=given):
        with pytest.raises(SettingsError) as raised:
            pushledger_settings()
        assert str(raised.value).startswith(said)
        with pytest.raises(SystemCheckError, match=r"pushledger\.E001"):
            call_command("check")
    call_command("check")


def test_a_variable_that_does_not_fit_is_named_as_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHLEDGER_ENQUEUE", "later")
    with override_settings(PUSHLEDGER=dict(project)), pytest.raises(SettingsError, match=r"^PUSHLEDGER_ENQUEUE: "):
        pushledger_settings()


# ---------------------------------------------------------------- the command


def manage(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        ManagementUtility(["manage.py", "pushledger_outbox", *arguments]).execute()
    said = capsys.readouterr()
    code = ended.value.code
    assert isinstance(code, int)
    return code, said.out, said.err


def test_the_command_of_manage_py_does_what_the_verb_does(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    with override_settings(PUSHLEDGER={**project, "ENQUEUE": "outbox"}):
        enqueue(Update("order:1", "B"), shown(2))
        code, out, _ = manage(capsys, "status", "--json")
        assert (code, json.loads(out)["waiting"]) == (0, 2)
        assert manage(capsys, "relay", "--once")[0] == 0
        assert found(2) is not None
        code, out, _ = manage(capsys, "status")
        assert out.startswith(f"account {project['ACCOUNT']}: 0 waiting; 1 refused\n")
        assert "no live message has this id" in out
        assert "B" not in out.split(), "no text is shown"
        assert manage(capsys, "retry", "--all")[1] == "1 wait again\n"
        manage(capsys, "relay", "--once")
        assert manage(capsys, "drop", "--all")[1] == "1 dropped\n"
        code, out, err = manage(capsys, "drop")
        assert (code, out) == (2, "")
        assert "Give ROW… or --all" in err
        assert "CREATE TABLE" in manage(capsys, "ddl")[1]
    with override_settings(PUSHLEDGER={"REDIS_URL": "x"}):
        code, out, err = manage(capsys, "status")
    assert (code, out) == (1, "")
    assert 'PUSHLEDGER["REDIS_URL"]: must start with redis://' in err


# ---------------------------------------------------------------- the admin


@pytest.fixture
def browser(project: Project) -> Client:
    from django.contrib.auth.models import User

    User.objects.create_superuser("operator", "", "a password")
    client = Client()
    assert client.login(username="operator", password="a password")
    return client


def test_a_models_admin_links_to_the_page_of_its_message(project: Project, browser: Client) -> None:
    from django.contrib.auth.models import Group

    Group.objects.create(name="order:1&<b>")
    plain = browser.get("/admin/auth/group/").content.decode()
    assert '<td class="field-pushledger_message">order:1&amp;&lt;b&gt;</td>' in plain
    with override_settings(PUSHLEDGER={**project, "DASHBOARD_URL": "https://messages.example.org/"}):
        linked = browser.get("/admin/auth/group/").content.decode()
    assert (
        'href="https://messages.example.org/messages/show?id=order%3A1%26%3Cb%3E">order:1&amp;&lt;b&gt;</a>' in linked
    )


def test_the_outbox_in_the_admin_shows_no_text_and_deletes_nothing_that_waits(
    project: Project, browser: Client
) -> None:
    from pushledger_django.models import OutboxRow
    from pushledger_django.store import DjangoStore

    account = project["ACCOUNT"]
    waits, refused = (OutboxRow.objects.create(**new_row(shown(n, "a text"), account)) for n in (1, 2))
    store = DjangoStore(account)
    store.take("one", 1, 2, 10)
    store.settle("one", [], {refused.id: "local_id: no"}, 2)
    base = "/admin/pushledger_django/outboxrow/"
    for page in (base, f"{base}{waits.id}/change/"):
        shown_page = browser.get(page).content.decode()
        assert "order:1" in shown_page
        assert "a text" not in shown_page
        assert "visitor-1" not in shown_page
    assert browser.post(f"{base}{waits.id}/delete/", {"post": "yes"}).status_code == 403
    assert browser.get(f"{base}add/").status_code == 403
    both = {"_selected_action": [waits.id, refused.id]}
    assert "1 refused rows wait again" in browser.post(base, {"action": "retry", **both}, follow=True).content.decode()
    store.take("two", 3, 4, 10)
    store.settle("two", [], {refused.id: "local_id: no"}, 4)
    assert "1 refused rows were dropped" in browser.post(base, {"action": "drop", **both}, follow=True).content.decode()
    assert list(OutboxRow.objects.values_list("id", flat=True)) == [waits.id]
