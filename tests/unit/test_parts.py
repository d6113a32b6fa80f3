"""What `pushledger up` starts, and who is told which secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from pushledger.errors import SettingsError
from pushledger_dashboard.tokens import parse_tokens
from pushledger_worker.data_folder import DataFolder
from pushledger_worker.parts import Part, Ports, Stack, shop_lines, stack_of

PORTS = Ports(redis=8027, dashboard=8026)
WITH_SANDBOX = Ports(redis=8027, dashboard=8026, sandbox=8025)
KEY = "xkeysib-a-key"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    """Made, and empty; the settings are read from the process, in which nothing is set."""
    for name in ("API_KEY", "API_KEY_FILE", "REDIS_URL", "BROKER_URL"):
        monkeypatch.delenv(f"PUSHLEDGER_{name}", raising=False)
    made = DataFolder(tmp_path / "data")
    made.make()
    return made


def part(stack: Stack, name: str) -> Part:
    return next(one for one in stack.parts if one.name == name)


def who_sees(stack: Stack, secret: str) -> set[str]:
    return {one.name for one in stack.parts if any(secret in value for value in one.environment.values())}


def test_each_part_is_told_only_its_own_secrets(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """And none stands in a command, which everybody on the machine can read."""
    monkeypatch.setenv("PUSHLEDGER_API_KEY", KEY)
    tokens = {"PUSHLEDGER_DASHBOARD_TOKENS": "anna:operate:a-token-of-twenty-letters"}
    stack = stack_of({"PUSHLEDGER_API_KEY": KEY, **tokens, "PATH": "/bin"}, folder, PORTS)
    assert [one.name for one in stack.parts] == ["valkey", "dashboard", "worker"]
    password = folder.secret("redis_password").get_secret_value()
    assert who_sees(stack, KEY) == {"worker"}
    assert who_sees(stack, "a-token-of-twenty-letters") == {"dashboard"}
    assert who_sees(stack, password) == {"worker", "dashboard"}
    assert who_sees(stack, "/bin") == {"valkey", "worker", "dashboard"}
    for secret in (KEY, password, "a-token-of-twenty-letters"):
        assert not any(secret in " ".join(one.command) for one in stack.parts)
        assert secret not in repr(stack)
    assert stack.has_own_tokens


def test_the_key_may_be_a_file_in_the_folder_which_is_read_again_when_it_changes(folder: DataFolder) -> None:
    folder.api_key.write_text(f"{KEY}\n")
    worker = part(stack_of({}, folder, PORTS), "worker").environment
    assert worker["PUSHLEDGER_API_KEY_FILE"] == str(folder.api_key)
    assert worker["PUSHLEDGER_API_KEY"] == ""


@pytest.mark.parametrize("text", ["", "\n", "two words"])
def test_a_key_that_cannot_be_one_is_refused_at_once(text: str, folder: DataFolder) -> None:
    folder.api_key.write_text(text)
    with pytest.raises(SettingsError, match="PUSHLEDGER_API_KEY_FILE: must hold printable ASCII"):
        stack_of({}, folder, PORTS)


def test_without_a_key_the_ways_out_are_named(folder: DataFolder) -> None:
    with pytest.raises(SettingsError) as error:
        stack_of({}, folder, PORTS)
    for said in (str(folder.api_key), "PUSHLEDGER_API_KEY", "pushledger up --sandbox"):
        assert said in str(error.value)


def test_with_the_sandbox_a_real_key_goes_nowhere(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a real address: what is tried out reaches no customer."""
    given = {"PUSHLEDGER_API_KEY": KEY, "PUSHLEDGER_API_URL": "https://api.example.org/v3"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    stack = stack_of(given, folder, WITH_SANDBOX)
    assert [one.name for one in stack.parts] == ["valkey", "sandbox", "dashboard", "worker"]
    assert who_sees(stack, KEY) == set()
    assert part(stack, "worker").environment["PUSHLEDGER_API_URL"] == "http://127.0.0.1:8025/v3"
    assert part(stack, "worker").environment["PUSHLEDGER_RATE"] == "60/10s"


def test_the_dashboard_gets_a_token_of_its_own_unless_there_are_some(folder: DataFolder) -> None:
    folder.api_key.write_text(KEY)
    environment = part(stack_of({}, folder, PORTS), "dashboard").environment
    (token,) = parse_tokens(environment["PUSHLEDGER_DASHBOARD_TOKENS"])
    assert (token.name, token.role) == ("owner", "operate")
    assert folder.dashboard_token.read_text().strip() in environment["PUSHLEDGER_DASHBOARD_TOKENS"]
    again = part(stack_of({}, folder, PORTS), "dashboard").environment
    assert again == environment, "nobody is logged out by a restart"
    given = {"PUSHLEDGER_DASHBOARD_TOKENS_FILE": "/tokens"}
    other = part(stack_of(given, folder, PORTS), "dashboard").environment
    assert other["PUSHLEDGER_DASHBOARD_TOKENS_FILE"] == "/tokens"
    assert "PUSHLEDGER_DASHBOARD_TOKENS" not in other


@pytest.mark.parametrize("name", ["REDIS_URL", "BROKER_URL"])
def test_a_server_of_somebody_else_is_not_passed_over_in_silence(name: str, folder: DataFolder) -> None:
    """But whoever has read shop.env may start in the same shell."""
    folder.api_key.write_text(KEY)
    with pytest.raises(SettingsError, match="brings its own server; unset them"):
        stack_of({f"PUSHLEDGER_{name}": "redis://redis.example.org/0"}, folder, PORTS)
    own = stack_of({}, folder, PORTS).settings.redis_url
    assert stack_of({"PUSHLEDGER_REDIS_URL": own}, folder, PORTS).settings.redis_url == own


def test_a_worker_may_take_as_long_to_end_as_its_settings_allow(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.api_key.write_text(KEY)
    assert part(stack_of({}, folder, PORTS), "worker").ends_within == 30 + 15 + 20 + 10
    monkeypatch.setenv("PUSHLEDGER_CALL_TIMEOUT", "2m")
    assert part(stack_of({}, folder, PORTS), "worker").ends_within == 120 + 15 + 20 + 10


def test_a_shop_is_told_the_server_and_all_that_it_must_agree_on(folder: DataFolder) -> None:
    """And nothing that only a worker needs."""
    folder.api_key.write_text(KEY)
    given = {"PUSHLEDGER_RETENTION": "1h", "PUSHLEDGER_RATE": "10/1s", "PUSHLEDGER_API_KEY": KEY}
    lines = shop_lines(stack_of({}, folder, PORTS).settings, given).splitlines()
    password = folder.secret("redis_password").get_secret_value()
    assert lines == [f"PUSHLEDGER_REDIS_URL=redis://:{password}@127.0.0.1:8027/0", "PUSHLEDGER_RETENTION=1h"]
