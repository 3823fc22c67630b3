"""``ledger log``."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TypedDict, Unpack

import click

from cli import reading
from cli.command import make_command, path_argument, wants_json
from cli.output import Output, print_json, print_text
from cli.reading import Filter, Shown
from ledger.errors import MisuseError
from ledger.ledger import Ledger

_SEQ = click.IntRange(0)


class Options(TypedDict):
    """The options of ``ledger log``."""

    event_type: str | None
    subject: str | None
    key: str | None
    since: int
    until: int | None
    last: int | None
    follow: bool
    jsonl: bool


@make_command("log")
@path_argument()
@click.option("--type", "event_type", metavar="TYPE", help="Only this type; gate.* is a prefix.")
@click.option("--subject", metavar="TEXT", help="Only this subject; run/* is a prefix.")
@click.option("--key", metavar="KEY", help="Only entries of this key: its name or id.")
@click.option("--since", type=_SEQ, default=0, metavar="SEQ", help="From this entry on.")
@click.option("--until", type=_SEQ, metavar="SEQ", help="Up to this entry.")
@click.option("-n", "--last", type=click.IntRange(1), metavar="N", help="Only the last N.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new entries until interrupted.")
@click.option("--jsonl", is_flag=True, help="Print one JSON object a line.")
def command(path: Path, **options: Unpack[Options]) -> Output | int:
    """List the entries of the ledger at PATH, oldest first.

    They are read, not verified: `ledger verify` does that. Each line says what vouches for the
    entry: its own signature, the one that ends its batch, or nothing yet (TORN).
    """
    if options["follow"] and wants_json():
        raise MisuseError("--json is one object, and --follow never ends: use --jsonl")
    with Ledger.open(path) as book:
        wanted = _filter(book, options)
        found = reading.select(book, wanted, last=options["last"])
        if wants_json():
            entries = [reading.as_object(item) for item in found]
            return Output("log", {"ledger": book.id, "size": book.size, "entries": entries}, "")
        if options["follow"]:
            found = chain(found, reading.follow(book, wanted))
        _print(book, found, as_json=options["jsonl"])
    return 0


def _filter(book: Ledger, options: Options) -> Filter:
    key = options["key"]
    return Filter(
        options["event_type"],
        options["subject"],
        None if key is None else reading.key_id_of(book, key),
        options["since"],
        options["until"],
    )


def _print(book: Ledger, found: Iterator[Shown], *, as_json: bool) -> None:
    line = reading.line_of(book)
    for item in found:
        if as_json:
            print_json(reading.as_object(item))
        else:
            print_text(line(item))
