"""compose.yaml and the Dockerfile against the code, without an engine; what runs in containers is run as processes."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml
from pushledger import Messages, Settings
from pushledger.cli import cli
from pushledger.settings import parse_duration
from pushledger_dashboard.settings import DashboardSettings
from pushledger_worker.container import DEMO, SANDBOX, container
from pushledger_worker.settings import WorkerSettings

if TYPE_CHECKING:
    from acceptance.conftest import Stage

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OURS = [name for name in SERVICES if name != "redis"]
TO_END_PROCESSES = timedelta(seconds=10)

# What Compose knows of a service, as far as it is used here: a misspelt name would be refused at the start.
KEYS = {
    "build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image", "init", "logging", "networks",
    "pids_limit", "ports", "profiles", "read_only", "restart", "security_opt", "stop_grace_period", "tmpfs", "user",
    "volumes",
}  # fmt: skip
HEALTH_KEYS = {"test", "interval", "timeout", "retries", "start_period"}
CONDITIONS = {"service_healthy", "service_completed_successfully"}


def settled(value: str) -> str:
    """A value with every `${NAME:-default}` as it is when nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def arguments_of(command: list[str]) -> tuple[click.Command, list[str]]:
    """The click command that a command line runs, and the arguments that it gets."""
    if command[:3] == ["python", "-m", "pushledger_worker.container"]:
        group: click.Group = container
        rest = command[3:]
    else:
        assert command[0] == "pushledger", command
        group, rest = cli, command[1:]
    found = group.get_command(click.Context(group), rest[0])
    assert found is not None, command
    return found, rest[1:]


# ---------------------------------------------------------------- the file


def test_services_profiles_and_keys_are_what_compose_knows() -> None:
    """By default redis, worker and dashboard, and the check before them; the profile `demo` brings two more."""
    assert {name: service.get("profiles", []) for name, service in SERVICES.items()} == {
        "redis": [], "secrets": [], "worker": [], "dashboard": [], "sandbox": ["demo"], "shop": ["demo"],
    }  # fmt: skip
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"services", "volumes"}
    for name, service in SERVICES.items():
        assert set(service) <= KEYS, name
        assert set(service.get("healthcheck", {})) <= HEALTH_KEYS, name
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES
            assert how["condition"] in CONDITIONS
            assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[other]
            assert set(SERVICES[other].get("profiles", [])) <= set(service.get("profiles", []))
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).is_dir(), volume


def test_every_variable_is_a_setting_and_every_setting_can_be_given() -> None:
    """To the service that reads it, and secrets to no other."""
    readers: dict[str, type[Settings]] = {"worker": WorkerSettings, "dashboard": DashboardSettings, "shop": Settings}
    for name, settings in readers.items():
        known = {f"PUSHLEDGER_{field.upper()}" for field in settings.model_fields}
        given = set(SERVICES[name]["environment"])
        assert known == given, name
    for name in ("dashboard", "shop"):
        assert not {"PUSHLEDGER_API_KEY", "PUSHLEDGER_API_KEY_FILE", "PUSHLEDGER_ACCOUNTS_DIR"} & set(
            SERVICES[name]["environment"]
        )
    assert "PUSHLEDGER_DASHBOARD_TOKENS" not in SERVICES["worker"]["environment"]
    assert "environment" not in SERVICES["sandbox"]
    checked = {**SERVICES["worker"]["environment"], **SERVICES["dashboard"]["environment"]}
    assert SERVICES["secrets"]["environment"] == checked


def test_the_values_that_are_given_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PUSHLEDGER_")]:
        monkeypatch.delenv(name)
    for service in ("worker", "dashboard"):
        for name, value in SERVICES[service]["environment"].items():
            if value is not None and not name.endswith("_FILE"):
                monkeypatch.setenv(name, value)
    monkeypatch.setenv("PUSHLEDGER_API_KEY", "a-key")
    monkeypatch.setenv("PUSHLEDGER_DASHBOARD_TOKENS", "anna:operate:a-token-of-twenty-letters")
    assert (WorkerSettings().redis_url, WorkerSettings().account) == ("redis://redis:6379/0", "default")
    assert DashboardSettings().dashboard_host == "0.0.0.0"


def test_every_command_line_parses() -> None:
    """Those of the services, and those that look whether they are well."""
    commands = [SERVICES[name]["command"] for name in OURS]
    health = SERVICES["worker"]["healthcheck"]["test"]
    assert health[0] == "CMD"
    for command in [*commands, health[1:]]:
        found, arguments = arguments_of([settled(part) for part in command])
        found.make_context(found.name, arguments)


def test_the_demo_agrees_with_itself() -> None:
    """The name by which the sandbox is known, its port, and the calls that it allows."""
    sandbox = SERVICES["sandbox"]
    assert sandbox["networks"]["default"]["aliases"] == [SANDBOX]
    found, arguments = arguments_of(sandbox["command"])
    given = found.make_context("sandbox", arguments).params
    assert DEMO["PUSHLEDGER_API_URL"] == f"http://{SANDBOX}:{given['port']}/v3"
    assert sandbox["command"][sandbox["command"].index("--rate") + 1] == DEMO["PUSHLEDGER_RATE"]
    assert given["host"] == "0.0.0.0"
    assert {name.removeprefix("PUSHLEDGER_").lower() for name in DEMO} <= set(WorkerSettings.model_fields)


def test_ports_are_published_to_this_machine_only_and_agree() -> None:
    exposed = set(re.findall(r"\d+", re.search(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)[1]))  # type: ignore[index]
    dashboard = DashboardSettings.model_fields["dashboard_port"].default
    assert SERVICES["dashboard"]["environment"]["PUSHLEDGER_DASHBOARD_PORT"] == str(dashboard)
    wanted = {"dashboard": str(dashboard), "sandbox": "8025"}
    assert exposed == set(wanted.values())
    assert {name for name, service in SERVICES.items() if "ports" in service} == set(wanted)
    for name, port in wanted.items():
        assert [settled(one) for one in SERVICES[name]["ports"]] == [f"127.0.0.1:{port}:{port}"]
        assert f":{port}/" in SERVICES[name]["healthcheck"]["test"][-1]


def test_a_worker_is_given_the_time_to_end_its_calls() -> None:
    """The longest call, the writing down of its outcome while Redis is away, and the end of the processes."""
    fields = WorkerSettings.model_fields
    parts = [fields[name].default for name in ("call_timeout", "lease_margin", "shutdown_grace")]
    grace = parse_duration(settled(SERVICES["worker"]["stop_grace_period"]))
    assert grace >= sum(parts, TO_END_PROCESSES)


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert settled(service["user"]).split(":")[0] not in ("", "0", "root")
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert service["restart"] == ("no" if name == "secrets" else "unless-stopped")
    assert all(volume.endswith(":ro") for volume in service.get("volumes", []) if name != "redis")


def test_redis_keeps_what_it_has_taken() -> None:
    """Append-only, refusing rather than forgetting, on a volume, and healthy only when it can answer."""
    redis = SERVICES["redis"]
    options = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert re.fullmatch(r"\d+mb", settled(options["--maxmemory"]))
    assert redis["volumes"] == ["redis:/data"]
    assert "ports" not in redis, "it has no password"
    assert redis["healthcheck"]["test"][1].split()[:2] == ["valkey-cli", "ping"]


def test_the_files_of_secrets_lie_where_the_folders_are_mounted() -> None:
    """Each folder is in the repository, and what is put into it never gets there."""
    for service, name in (("worker", "API_KEY_FILE"), ("dashboard", "DASHBOARD_TOKENS_FILE")):
        (mount,) = SERVICES[service]["volumes"]
        source, target, _ = mount.split(":")
        assert SERVICES[service]["environment"][f"PUSHLEDGER_{name}"].startswith(f"{target}/")
        assert mount in SERVICES["secrets"]["volumes"]
        assert (ROOT / source / ".gitignore").read_text(encoding="utf-8").splitlines()[-2:] == ["*", "!.gitignore"]


def test_every_variable_of_the_file_itself_is_in_the_manual() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    manual = (ROOT / "docs" / "compose.md").read_text(encoding="utf-8")
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", text):
        assert f"| `{name}` | `{default}` |" in manual


# ---------------------------------------------------------------- the image


def test_the_image_is_built_from_what_is_there() -> None:
    """Every source of a COPY exists and is let through to the engine, and no secret is."""
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    lines = [shlex.split(line)[1:-1] for line in re.findall(r"^COPY (?!--from).*$", DOCKERFILE, re.MULTILINE)]
    sources = [source for line in lines for source in line]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in allowed, source
    assert next(line for line in allowed if line and not line.startswith("#")) == "*"
    assert "!secrets" not in allowed
    packages = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {package.partition("/")[0] for package in packages} <= set(sources)


def test_the_image_has_the_extras_that_its_commands_need_and_nothing_to_build_with() -> None:
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert len(stages) == 2
    extras = re.search(r"\[([a-z,]+)\]\"", stages[0])[1].split(",")  # type: ignore[index]
    assert set(extras) == {"worker", "dashboard", "sandbox"}
    assert set(extras) <= set(PYPROJECT["project"]["optional-dependencies"])
    assert all("--constraint constraints.txt" in line for line in re.findall(r"pip\b.* install.*", stages[0]))
    assert not re.search(r"\bpip\b|apt-get|build/", stages[1].replace("--from=build /opt", ""))
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", stages[1], re.MULTILINE)
    user = re.search(r"^USER (.*)$", stages[1], re.MULTILINE)[1]  # type: ignore[index]
    assert {settled(SERVICES[name]["user"]) for name in OURS} == {user}


def test_image_and_labels_tell_the_version() -> None:
    version = PYPROJECT["project"]["version"]
    assert {SERVICES[name]["image"] for name in OURS} == {f"pushledger:{version}"}
    assert f"ARG VERSION={version}\n" in DOCKERFILE
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", DOCKERFILE))
    assert labels >= {"title", "description", "licenses", "version", "revision"}
    base = re.search(r"^ARG PYTHON=python:(\d+\.\d+)-slim-", DOCKERFILE, re.MULTILINE)
    assert base is not None
    assert f"Programming Language :: Python :: {base[1]}" in PYPROJECT["project"]["classifiers"]


# ---------------------------------------------------------------- run as processes


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of compose.yaml to its end, with this Python."""
    assert command[0] == "python"
    return subprocess.run(
        [sys.executable, *command[1:]],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def health_of(name: str, port: str = "") -> list[str]:
    """The command that looks whether a service is well, with another port."""
    health = SERVICES[name]["healthcheck"]["test"][1:]
    return [re.sub(r":80\d\d/", f":{port}/", part) for part in health]


def test_a_worker_is_well_while_its_account_is_paused_and_not_when_it_hangs(stage: Stage) -> None:
    """The look costs no call of the API."""
    worker = stage.process(SERVICES["worker"]["command"][1:])
    assert stage.run("pause").returncode == 0
    asked = len(stage.sandbox.requests())
    well = run(health_of("worker"), **stage.environment())
    assert (well.returncode, well.stderr) == (0, "")
    assert len(stage.sandbox.requests()) == asked
    worker.process.send_signal(signal.SIGSTOP)
    hanging = run(health_of("worker"), **stage.environment())
    assert hanging.returncode == 1
    assert hanging.stderr == "pushledger: the worker does not answer within 5 s\n"
    worker.process.send_signal(signal.SIGCONT)
    worker.terminate()
    assert worker.ends(20) == 0


def test_a_worker_whose_broker_is_away_is_not_well(stage: Stage) -> None:
    done = run(health_of("worker"), **stage.environment(BROKER_URL=f"redis://127.0.0.1:{free_port()}/1"))
    assert done.returncode == 1
    assert done.stderr.startswith("pushledger: the broker cannot be asked")
    assert "Traceback" not in done.stderr


def test_the_dashboard_is_well_as_soon_as_it_serves(stage: Stage, wait_until: Any) -> None:
    port = str(free_port())
    assert run(health_of("dashboard", port)).returncode == 1
    settings = {"DASHBOARD_PORT": port, "DASHBOARD_TOKENS": "anna:operate:a-token-of-twenty-letters"}
    dashboard = stage.process(SERVICES["dashboard"]["command"][1:], ready=False, DASHBOARD_HOST="0.0.0.0", **settings)
    wait_until(lambda: "ready" in dashboard.text(), 20, "the dashboard serves")
    assert run(health_of("dashboard", port)).returncode == 0
    dashboard.terminate()
    assert dashboard.ends(10) == 0


def test_the_sandbox_is_well(stage: Stage) -> None:
    port = re.search(r":(\d+)/", stage.sandbox.url)[1]  # type: ignore[index]
    assert run(health_of("sandbox", port)).returncode == 0


def test_without_secrets_the_start_ends_with_a_sentence(stage: Stage, tmp_path: Path) -> None:
    """One line, for the check and for each service."""
    files = {"API_KEY_FILE": str(tmp_path / "api_key"), "DASHBOARD_TOKENS_FILE": str(tmp_path / "tokens")}
    environment = stage.environment(API_KEY="", **files)
    for name in ("secrets", "dashboard"):
        done = run(SERVICES[name]["command"], **environment)
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(r"pushledger: no [^\n]* docker compose --profile demo up\n", done.stderr)


def test_with_secrets_the_check_passes_and_a_setting_that_does_not_fit_stops_it(stage: Stage, tmp_path: Path) -> None:
    key, tokens = tmp_path / "api_key", tmp_path / "tokens"
    key.write_text("a-key\n", encoding="utf-8")
    tokens.write_text("anna:operate:a-token-of-twenty-letters\n", encoding="utf-8")
    files = {"API_KEY": "", "API_KEY_FILE": str(key), "DASHBOARD_TOKENS_FILE": str(tokens)}
    done = run(SERVICES["secrets"]["command"], **stage.environment(**files))
    assert (done.returncode, done.stderr) == (0, "")
    wrong = run(SERVICES["secrets"]["command"], **stage.environment(RATE="many", **files))
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("pushledger: PUSHLEDGER_RATE: ")


def test_the_shop_sends_orders_to_the_demo_and_ends_when_told(stage: Stage, wait_until: Any) -> None:
    """Never to the account that is named in the settings."""
    shop = stage.process(SERVICES["shop"]["command"][1:], ready=False)
    settings = Settings(redis_url=stage.valkey.url(), account=DEMO["PUSHLEDGER_ACCOUNT"])
    with Messages(settings) as messages:
        wait_until(lambda: messages.counts()["queued"] > 0, 30, "an order comes in")
    shop.terminate()
    assert shop.ends(10) == 0
    assert stage.messages.counts()["queued"] == 0
    assert "Traceback" not in shop.text()
