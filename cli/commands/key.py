"""``ledger key``: make keys, and say in a ledger who may sign what."""

from pathlib import Path

import click

from cli import keyring, keys, table
from cli.command import key_option, make_command, path_argument
from cli.output import Output


@click.group("key", short_help=table.COMMANDS["key"])
def command() -> None:
    """Make keys, and say in a ledger who may sign what.

    A KEY of a ledger is named by its name there, its id, or the first 8 digits of that.
    """


@make_command("new", group=command)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--name", default="", metavar="NAME", help="The comment in its .pub file.")
def new(file: Path | None, name: str) -> Output:
    """Make a key, and its public half.

    They lie at FILE (default $LEDGER_KEY) and FILE.pub. LEDGER_KEY_PASSPHRASE locks the key.
    Any Ed25519 key of ssh-keygen will do as well.
    """
    place = file or keys.default_path()
    made = keys.make(place, name=name or place.name)
    return keyring.describe(made.public, made.name, place)


@make_command("show", group=command)
@click.argument("file", type=click.Path(path_type=Path), required=False)
def show(file: Path | None) -> Output:
    """Show the id and fingerprint of a key.

    FILE is a key (default $LEDGER_KEY), or the .pub of one.
    """
    place = file or keys.default_path()
    if place.suffix == ".pub":
        public, name = keys.read_public(str(place))
        return keyring.describe(public, name, place)
    key = keys.load(place)
    return keyring.describe(key.public, key.name, place)


@make_command("list", group=command)
@path_argument()
def list_keys(path: Path) -> Output:
    """List the keys and roles of a ledger."""
    return keyring.listing(path)


@make_command("authorize", group=command)
@path_argument()
@click.argument("public", metavar="PUB")
@click.option("--name", metavar="NAME", help="Its name in the ledger [default: its comment]")
@click.option("--role", "roles", multiple=True, required=True, metavar="ROLE", help="Repeatable.")
@key_option
def authorize(
    path: Path, public: str, name: str | None, roles: tuple[str, ...], key_file: Path | None
) -> Output:
    """Let the key PUB sign from now on.

    PUB is an OpenSSH public key, or the file that holds one.
    """
    raw, comment = keys.read_public(public)
    with keyring.opened(path, keys.load(key_file)) as book:
        receipt = book.authorize(raw, name=name or comment, roles=roles)
    return keyring.done("authorized", raw, name or comment, receipt=receipt)


@make_command("rotate", group=command)
@path_argument()
@click.argument("old", metavar="KEY")
@click.option("--to", "successor", required=True, metavar="FILE", help="The new key, or its .pub.")
@click.option("--name", metavar="NAME", help="Its name in the ledger [default: its comment]")
@key_option
def rotate(path: Path, old: str, successor: str, name: str | None, key_file: Path | None) -> Output:
    """Replace KEY by another.

    From the next entry on that has its roles.
    The last owner can only be rotated to a private key, so that nobody locks themselves out.
    """
    by, new_name = keyring.successor(successor, name)
    with keyring.opened(path, keys.load(key_file)) as book:
        receipt = book.rotate(keyring.key_id_of(book, old), by=by, name=new_name)
    public = by if isinstance(by, bytes) else by.public
    return keyring.done("rotated", public, new_name, receipt=receipt)


@make_command("revoke", group=command)
@path_argument()
@click.argument("old", metavar="KEY")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is on record for ever.")
@click.option(
    "--compromised-since",
    type=click.IntRange(0),
    metavar="SEQ",
    help="From this entry on, nothing that the key signed is to be relied on.",
)
@key_option
def revoke(
    path: Path, old: str, reason: str, compromised_since: int | None, key_file: Path | None
) -> Output:
    """Take KEY out: it may sign no more."""
    with keyring.opened(path, keys.load(key_file)) as book:
        key = book.register.keys[keyring.key_id_of(book, old)]
        receipt = book.revoke(key.id, reason=reason, compromised_since=compromised_since)
    return keyring.done("revoked", key.public, key.name, receipt=receipt)
