"""``ledger checkpoint``."""

from pathlib import Path

import click

from cli import keys, proving, state
from cli.command import key_option, make_command, path_argument, timeout_option
from cli.output import Output
from ledger.ledger import Ledger
from ledger.signing import sign_checkpoint


@make_command("checkpoint")
@path_argument()
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it to FILE.")
@timeout_option
@key_option
def command(path: Path, out: Path | None, timeout: float, key_file: Path | None) -> Output:
    """Sign the size and root of the ledger at PATH: a checkpoint, a C2SP signed note.

    Keep it away from the ledger's host: whoever holds it can tell if an entry is cut off or
    changed. Your machine remembers what it signed ($LEDGER_STATE), and refuses another history.
    """
    key = keys.load(key_file)
    with Ledger.open(path, key=key, timeout=timeout) as book:
        note = sign_checkpoint(book, memory=state.signer_memory())
        book_id = book.id
    return proving.checkpoint_answer(note, book_id, out)
