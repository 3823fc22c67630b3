"""``ledger attack``."""

from pathlib import Path

from cli import attacking
from cli.command import make_command, path_argument
from cli.output import Output


@make_command("attack")
@path_argument()
def command(path: Path) -> Output:
    """Tamper with copies of the ledger or run directory at PATH, and see what is caught.

    PATH itself is only read. The reader of the copies trusts its id; attacks that need keys are
    made on a ledger of the same kind whose keys we hold. Exit code 2 if one is missed that
    should have been seen.
    """
    return attacking.attack(path)
