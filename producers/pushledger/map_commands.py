"""The verbs for the map of local ids to message ids: take messages in, write the map out, read it back."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, TextIO, cast

import click

from pushledger.errors import InvalidJob, RefusedDecision, RefusedJob
from pushledger.jobs import check_local_id, parsed_time
from pushledger.message import is_entry
from pushledger.messages import Messages
from pushledger.output import print_json
from pushledger.parameters import ACCOUNT, JSON, SENDER, WHY, account_named, operator, utf_8, version_of
from pushledger.terminal import printable

__all__ = ["adopt", "export", "import_map"]

_FORMAT = "pushledger-map-1"
_NEEDED = ("local_id", "message_id")
_COLUMNS = (
    *_NEEDED,
    *("visitor_id", "agent_id", "group_id", "text", "version"),
    *("kind", "agent_email", "agent_name", "received_from"),
)
_BATCH = 500


class _Lines:
    """Counts the lines of a file, says which are bad, and shows that it goes on."""

    def __init__(self) -> None:
        self.good = self.bad = 0

    def bad_line(self, number: int, rule: str) -> None:
        self.bad += 1
        click.echo(f"line {number}: {printable(rule)}", err=True)

    def good_lines(self, count: int = 1) -> None:
        before, self.good = self.good, self.good + count
        if before // 1000 < self.good // 1000:
            click.echo(f"{self.good} lines done …", err=True)


# ---------------------------------------------------------------- adopt


@click.command()
@click.argument("local_id", required=False, callback=utf_8)
@click.option("--message-id", metavar="ID", callback=utf_8, help="The API's id of the message.")
@click.option("--visitor", "visitor_id", default="", metavar="ID", callback=utf_8, help="Who sees it, if known.")
@SENDER
@click.option("--text", default="", callback=utf_8, help="What it shows, if known.")
@click.option("--version", default="", metavar="N|TIME", help="The shop's counter of that text.")
@click.option("--from-csv", "file", type=click.File("rb"), metavar="FILE", help="Take in many; - reads stdin.")
@WHY
@ACCOUNT
@JSON
def adopt(local_id: str | None, message_id: str | None, file: BinaryIO | None, as_json: bool, **options: Any) -> None:
    """Take messages under the ledger that exist already at the API.

    A file has a line for each, under a header with local_id, message_id and, as far as known, visitor_id, agent_id,
    group_id, text, version, kind, agent_email, agent_name, received_from. A bad line is told and left out. What is
    known already stays as it is.
    """
    if file is not None:
        if local_id is not None or message_id is not None or any(options.values()):
            raise click.UsageError("With --from-csv, give no LOCAL_ID and no other value.")
        return _adopt_all(file, as_json)
    if local_id is None or message_id is None:
        raise click.UsageError("Give LOCAL_ID and --message-id, or --from-csv.")
    with Messages.from_env(account_named()) as messages:
        why = options.pop("why")
        state = _adopt(messages, {"local_id": local_id, "message_id": message_id, **options}, operator(), why)
    if as_json:
        print_json({"local_id": local_id, "decision": "adopt", "state": state})
    else:
        click.echo(f"{printable(local_id)}: {state}")
    return None


def _adopt(messages: Messages, row: Mapping[str, Any], by: str = "", why: str = "") -> str:
    known: dict[str, Any] = {name: row[name] for name in _COLUMNS if name not in _NEEDED and row.get(name)}
    if "version" in known:
        known["version"] = parsed_time("version", version_of(known["version"]))
    return messages.adopt(row["local_id"], row["message_id"], by=by, why=why, **known)


def _adopt_all(file: BinaryIO, as_json: bool) -> None:
    lines = _Lines()
    with Messages.from_env(account_named()) as messages:
        for number, row in _csv_rows(file, lines):
            try:
                _adopt(messages, row)
                lines.good_lines()
            except (InvalidJob, RefusedJob, RefusedDecision) as error:
                lines.bad_line(number, str(error))
    _finish({"adopted": lines.good, "bad": lines.bad}, as_json)


def _csv_rows(file: BinaryIO, lines: _Lines) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(_decoded(file), strict=True)
    try:
        header = reader.fieldnames or ()
        if not set(_NEEDED) <= set(header) <= set(_COLUMNS) or len(set(header)) < len(header):
            raise click.UsageError(f"The header must be {','.join(_COLUMNS)}; only the first two are needed.")
        for row in reader:
            # Too many cells come under the key None, cells that are missing as the value None.
            if None in row or None in row.values():
                lines.bad_line(reader.line_num, f"must have {len(header)} cells, as the header has")
            else:
                yield reader.line_num, cast("dict[str, str]", row)
    except csv.Error as error:
        lines.bad_line(reader.line_num, f"{error}; the rest of the file is not read")


def _decoded(file: BinaryIO) -> Iterator[str]:
    # A byte order mark is what spreadsheets write; bytes that are no text make their own line bad, not the file.
    for number, line in enumerate(file):
        yield line.decode("utf-8-sig" if number == 0 else "utf-8", errors="surrogateescape")


# ---------------------------------------------------------------- export, import


@click.command()
@click.argument("file", type=click.File("w", encoding="utf-8", atomic=True), default="-")
@ACCOUNT
@click.option("--json", "as_json", is_flag=True, help="Print the count as JSON, on stderr if the map goes to stdout.")
def export(file: TextIO, as_json: bool) -> None:
    """Write the map as JSON lines, by default to stdout; workers may go on meanwhile."""
    count = 0
    with Messages.from_env(account_named()) as messages:
        header = {"format": _FORMAT, "account": messages.settings.account, "digests": messages.digest_mark()}
        file.write(json.dumps(header) + "\n")
        for local_id, entry in messages.entries():
            file.write(json.dumps({"local_id": local_id, "entry": entry}) + "\n")
            count += 1
    to_stdout = file.name == "<stdout>"
    click.echo(json.dumps({"exported": count}) if as_json else f"{count} exported", err=to_stdout)


@click.command(name="import")
@click.argument("file", type=click.File("rb"))
@click.option("--any-account", is_flag=True, help="Take the map of another account.")
@ACCOUNT
@JSON
def import_map(file: BinaryIO, any_account: bool, as_json: bool) -> None:
    """Put an exported map back; what the ledger knows already stays as it is."""
    lines, restored = _Lines(), 0
    with Messages.from_env(account_named()) as messages:
        mark = _mark_of(file.readline(), messages.settings.account, any_account)
        for batch in _batches(file, lines):
            restored += sum(messages.restore(batch, mark))
            lines.good_lines(len(batch))
    _finish({"restored": restored, "known": lines.good - restored, "bad": lines.bad}, as_json)


def _mark_of(line: bytes, account: str, any_account: bool) -> str:
    header = _json_object(line)
    if header.get("format") != _FORMAT:
        raise click.UsageError(f"This is no map of the format {_FORMAT}.")
    if header.get("account") != account and not any_account:
        whose = printable(repr(header.get("account")))
        raise click.UsageError(f"This is the map of the account {whose}, not {account!r}; --any-account takes it.")
    return str(header.get("digests"))


def _batches(file: BinaryIO, lines: _Lines) -> Iterator[list[tuple[str, str]]]:
    batch: list[tuple[str, str]] = []
    for number, line in enumerate(file, 2):
        values = _json_object(line)
        local_id, entry = values.get("local_id"), values.get("entry")
        try:
            check_local_id(cast(str, local_id))
            if not isinstance(entry, str) or not is_entry(entry):
                raise InvalidJob("entry", "must be an entry as export writes it")
        except InvalidJob as error:
            lines.bad_line(number, str(error))
            continue
        batch.append((cast(str, local_id), entry))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _json_object(line: bytes) -> dict[str, object]:
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _finish(numbers: dict[str, int], as_json: bool) -> None:
    if as_json:
        print_json(numbers)
    else:
        click.echo(", ".join(f"{number} {name}" for name, number in numbers.items()))
    if numbers["bad"]:
        raise click.exceptions.Exit(1)
