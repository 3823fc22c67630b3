"""``ledger prove``."""

from pathlib import Path

import click

from cli import proving
from cli.command import make_command, path_argument
from cli.output import Output
from ledger.ledger import Ledger
from ledger.signing import prove

_FILE = click.Path(path_type=Path)


@make_command("prove")
@path_argument()
@click.argument("seq", type=click.IntRange(0))
@click.option("--checkpoint", type=_FILE, required=True, metavar="FILE", help="A signed one.")
@click.option("--out", type=_FILE, metavar="FILE", help="Write the proof to FILE.")
def command(path: Path, seq: int, checkpoint: Path, out: Path | None) -> Output:
    """Prove that entry SEQ is in the ledger at PATH, under a checkpoint of it.

    The proof (C2SP tlog-proof) and the entry (ledger show PATH SEQ --raw) are all that
    `ledger check-proof` needs: nothing else of the ledger is handed over.
    """
    note = proving.read_note(checkpoint)
    with Ledger.open(path) as book:
        proof = prove(book, seq, note=note)
        book_id = book.id
    return proving.proof_answer(proof, book_id, seq, out=out)
