"""``ledger append``."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from cli import appending, inputs, keys
from cli.command import key_option, make_command, path_argument, timeout_option, wants_json
from cli.output import Output, print_json, print_text
from ledger.errors import MisuseError
from ledger.ledger import Ledger
from ledger.writer import Receipt

FILE = click.Path(path_type=Path, dir_okay=False)


class Options(TypedDict):
    """The options of ``ledger append``."""

    event_type: str | None
    subject: str
    data: str | None
    data_file: Path | None
    blob: Path | None
    media_type: str | None
    event_id: str | None
    stdin: bool
    batch: int | None
    expected_head: str | None
    timeout: float
    key_file: Path | None


@make_command("append")
@path_argument()
@click.option("--type", "event_type", metavar="TYPE", help="The event type; x.* is yours.")
@click.option("--subject", default="", metavar="TEXT", help="What the event is about.")
@click.option("--data", metavar="JSON", help="The payload, a JSON object.")
@click.option("--data-file", type=FILE, metavar="FILE", help="A file that holds the payload.")
@click.option("--blob", type=FILE, metavar="FILE", help="Store FILE, and record its digest.")
@click.option("--media-type", metavar="TYPE", help="What the blob is.")
@click.option("--id", "event_id", metavar="ID", help="Makes the append idempotent.")
@click.option("--stdin", is_flag=True, help="Read events as NDJSON: type, subject, data, id.")
@click.option("--batch", type=click.IntRange(1, 65_536), metavar="N", help="Lines a signature.")
@click.option("--expected-head", metavar="SIZE:HASH", help="Append only if this is the head.")
@timeout_option
@key_option
def command(path: Path, **options: Unpack[Options]) -> Output | int:
    """Append one event to the ledger at PATH, or with --stdin a stream of them.

    An event is acknowledged when it is durable, not before. A line of --stdin that is refused
    ends the stream: what came before it stays. Without --batch, a batch is as many lines as
    are ready, up to 1000.
    """
    return _stream(path, options) if options["stdin"] else _one(path, options)


def _one(path: Path, options: Options) -> Output:
    head = inputs.expected_head(options["expected_head"])
    if options["event_type"] is None:
        raise MisuseError("--type is needed: what kind of event is it, as in x.note?")
    if options["batch"] is not None:
        raise MisuseError("--batch belongs to --stdin")
    source = appending.Source(
        options["data"], options["data_file"], options["blob"], options["media_type"]
    )
    event = appending.event_of(
        options["event_type"], options["subject"], source=source, event_id=options["event_id"]
    )
    key = keys.load(options["key_file"])
    with Ledger.open(path, key=key, timeout=options["timeout"]) as book:
        receipt = appending.append_one(book, event, source=source, expected_head=head)
    return Output("append", _members(receipt), _line(receipt))


def _stream(path: Path, options: Options) -> Output | int:
    refused = ("event_type", "data", "data_file", "blob", "media_type", "event_id")
    if options["subject"] or any(options.get(name) is not None for name in refused):
        raise MisuseError("with --stdin, type, subject, data and id are members of each line")
    from cli import streaming

    head = inputs.expected_head(options["expected_head"])
    descriptor = streaming.stdin_descriptor()
    key = keys.load(options["key_file"])
    as_json = wants_json()

    def acknowledge(receipt: Receipt) -> None:
        if as_json:
            print_json(_members(receipt))
        else:
            print_text(_line(receipt))

    with Ledger.open(path, key=key, timeout=options["timeout"]) as book:
        streaming.Stream(book, acknowledge, head).run(descriptor, batch=options["batch"])
    return 0


def _members(receipt: Receipt) -> dict[str, object]:
    return {"seq": receipt.seq, "id": receipt.id, "hash": receipt.hash}


def _line(receipt: Receipt) -> str:
    return f"{receipt.seq}\t{receipt.id}\t{receipt.hash}"
