"""``ledger verify``."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from cli import verifying
from cli.command import make_command, wants_json
from cli.output import Output


class Options(TypedDict):
    """The options of ``ledger verify``."""

    path: Path | None
    strict: bool
    ledger_id: str | None
    checkpoints: tuple[Path, ...]
    jobs: int
    quiet: bool
    explain: str | None


@make_command("verify")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--strict", is_flag=True, help="No anchor, no verdict; warnings are errors.")
@click.option("--ledger-id", metavar="HEX", help="The id that you trust, from elsewhere.")
@click.option(
    "--checkpoint",
    "checkpoints",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A checkpoint kept outside the ledger's host; may be given several times.",
)
@click.option("--jobs", type=click.IntRange(0), default=0, metavar="N", help="0: one a core.")
@click.option("--quiet", "-q", is_flag=True, help="Print the last line only.")
@click.option("--explain", metavar="CODE", help="Print what a finding means, and stop.")
def command(**options: Unpack[Options]) -> Output | int:
    """Verify the ledger or run directory at PATH, offline, with code that shares none with writers.

    Exit codes: 0 VERIFIED, 2 REFUTED, 5 INCOMPLETE. `python -m verifier` is the same verifier
    for people who install nothing else.
    """
    if options["explain"] is not None:
        return verifying.explain_code(options["explain"])
    anchors = verifying.Anchors(options["ledger_id"], options["checkpoints"])
    policy = verifying.policy(anchors, strict=options["strict"], jobs=options["jobs"])
    verdict = verifying.verify(options["path"], policy, quiet=options["quiet"] or wants_json())
    return verifying.answer(verdict, as_json=wants_json(), quiet=options["quiet"])
