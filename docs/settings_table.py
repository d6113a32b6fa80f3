"""Prints the table of settings from the code: ``python docs/settings_table.py > docs/settings.md``."""

from __future__ import annotations

from datetime import timedelta

from pushledger.ledger import RateWindow
from pushledger.settings import Settings
from pushledger_dashboard.settings import DashboardSettings
from pushledger_django.settings import DjangoSettings
from pushledger_outbox.settings import OutboxSettings
from pushledger_worker.settings import WorkerSettings
from pydantic import SecretStr
from pydantic.fields import FieldInfo

HEAD = """# Settings

Every setting is an environment variable; in Python the same names, in lower case and without the prefix, are
arguments of `Settings` (a shop), `WorkerSettings` (a worker) and `DashboardSettings` (the dashboard); in Django, in
upper case, keys of `PUSHLEDGER`. Durations are written `500ms`, `30s`, `10m`, `2h` or `7d`. What all processes of an
account must agree on stands first. This page is printed by `python docs/settings_table.py`, and a test keeps it true.
"""

_DASHBOARD = """What it says of the budget it has from the workers, by way of the ledger.
"""

_DJANGO = """A project has all the settings of the outbox, and `PUSHLEDGER_DASHBOARD_URL`, to which its admin links.
"""


def shown(default: object) -> str:
    """A default as one would write it."""
    match default:
        case None | "":
            return ""
        case SecretStr():
            return shown(default.get_secret_value())
        case timedelta():
            return duration(default)
        case tuple():
            return f"`{', '.join(window(one) for one in default)}`"
        case _:
            return f"`{default}`"


def duration(value: timedelta) -> str:
    """A duration in its largest whole unit."""
    milliseconds = round(value.total_seconds() * 1000)
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"`{milliseconds // size}{unit}`"
    return f"`{milliseconds}ms`" if milliseconds else "`0s`"


def window(value: RateWindow) -> str:
    """A window of calls."""
    names = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}
    seconds = value.period.total_seconds()
    return f"{value.limit}/{names.get(int(seconds), f'{seconds:g}s')}"


def rows(fields: dict[str, FieldInfo]) -> list[str]:
    """A line of the table for each field."""
    lines = ["| variable | default | what it sets |", "|---|---|---|"]
    for name, field in fields.items():
        lines.append(f"| `PUSHLEDGER_{name.upper()}` | {shown(field.default)} | {field.description} |")
    return lines


def page() -> str:
    """The whole page."""
    shared = Settings.model_fields
    own = {name: field for name, field in WorkerSettings.model_fields.items() if name not in shared}
    dashboard = {n: field for n, field in DashboardSettings.model_fields.items() if n not in shared and n not in own}
    outbox = {name: field for name, field in OutboxSettings.model_fields.items() if name not in shared}
    taken = {*shared, *dashboard, *outbox}
    project = {name: field for name, field in DjangoSettings.model_fields.items() if name not in taken}
    parts = [
        *(HEAD, "## Shops, workers and the dashboard alike\n", *rows(shared)),
        *("\n## Workers\n", *rows(own)),
        *("\n## The dashboard\n", _DASHBOARD, *rows(dashboard)),
        *("\n## The outbox and its relay\n", *rows(outbox)),
        *("\n## Django\n", _DJANGO, *rows(project)),
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    print(page(), end="")
