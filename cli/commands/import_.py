"""``ledger import``."""

from pathlib import Path

from cli import transfer
from cli.command import make_command, path_argument
from cli.output import Output


@make_command("import")
@path_argument("source", "SOURCE")
@path_argument("target", "TARGET")
def command(source: Path, target: Path) -> Output:
    """Copy the ledger SOURCE, after checking all of it, into a new store at TARGET.

    SOURCE is a .jsonl, a .sqlite, a run directory, or a .tar or .zip of one, which is unpacked to
    the new directory TARGET. Entries, hashes and signatures stay as they are, byte for byte.
    """
    done = transfer.take_in(source, target)
    return Output("import", done.to_json(), done.to_text("imported"))
