"""``ledger check-proof``."""

from pathlib import Path

import click

from cli import keys, proving
from cli.command import make_command
from cli.output import Output

_FILE = click.Path(path_type=Path)


@make_command("check-proof")
@click.argument("proof", type=_FILE)
@click.argument("entry", type=_FILE)
@click.option("--ledger-id", required=True, metavar="HEX", help="The id that you trust.")
@click.option(
    "--key",
    "public",
    required=True,
    metavar="PUB",
    help="The OpenSSH public key, line or file, of whoever signs its checkpoints.",
)
def command(proof: Path, entry: Path, ledger_id: str, public: str) -> Output:
    """Check, without the ledger, the PROOF that ENTRY is in it.

    ENTRY holds the bytes of the entry (ledger show PATH SEQ --raw), or its line of a .jsonl.
    Exit codes: 0 it is, 2 it is not, 4 the checkpoint is not signed by that key.
    """
    raw_key, _ = keys.read_public(public)
    return proving.check(proof, entry, ledger_id, public=raw_key)
