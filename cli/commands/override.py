"""``ledger override``."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from cli.capsules import judging
from cli.capsules.options import directory
from cli.command import make_command, timeout_option
from cli.output import Output
from ledger.errors import MisuseError


class Options(TypedDict):
    """The options of ``ledger override``."""

    status: str | None
    clear: bool
    reason: str | None
    reviewer: str | None
    ts_utc: str | None
    run: str | None
    force: bool
    timeout: float
    key_file: Path | None


@make_command("override")
@directory
@click.option("--status", type=click.Choice(["pass", "fail"]), help="The judgement.")
@click.option("--clear", is_flag=True, help="Take the judgement that stands back.")
@click.option("--reason", metavar="TEXT", help="Why; it is on record for ever.")
@click.option("--reviewer", metavar="NAME", help="Who judges, in words; the key says it for sure.")
@click.option(
    "--ts-utc",
    metavar="TIME",
    help="A date to be added to the reason; the time of the judgement is the event's own.",
)
@click.option("--run", metavar="RUN_ID", help="Which run, if the ledger holds several.")
@click.option("--force", is_flag=True, help="Judge anew what is judged already.")
@timeout_option
@click.option(
    "--key",
    "--key-file",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Your own key, with the role reviewer  [default: $LEDGER_KEY,"
    " or ~/.config/evidence-ledger/key]",
)
def command(path: Path, **options: Unpack[Options]) -> Output:
    """Lay a person's judgement over the run in DIR, signed with their own key.

    What the gate recorded stays as it is; reports show both. Exit codes: 2 the capsule is partial
    or judged already, 4 the key may not judge.
    """
    if options["clear"] is (options["status"] is not None):
        raise MisuseError("give either --status or --clear")
    wanted = judging.Wanted(
        status=options["status"],
        reason=options["reason"],
        reviewer=options["reviewer"],
        dated=options["ts_utc"],
        run=options["run"],
        force=options["force"],
    )
    return judging.override(path, wanted, options["key_file"], timeout=options["timeout"])
