"""``ledger inspect``."""

from pathlib import Path
from typing import Unpack

import click

from cli.capsules import loading, reporting
from cli.capsules.options import Strictness, as_options, directory, format_option, strictness
from cli.command import make_command, wants_json
from cli.output import Output


class Options(Strictness):
    """The options of ``ledger inspect``."""

    report: bool
    fmt: str


@make_command("inspect")
@directory
@strictness
@click.option("--report/--no-report", default=True, help="Whether to print the report too.")
@format_option("text", "md")
def command(path: Path, **options: Unpack[Options]) -> Output | int:
    """Validate the capsule in DIR, partial ones too, and print its report.

    Exit codes: 0 valid, 2 invalid.
    """
    loaded = loading.load(path, as_options(options, allow_partial=True))
    loading.talk(loaded)
    if wants_json() or not options["report"] or loaded.fault is not None:
        return loading.judge(loaded, name="inspect")
    return reporting.report(path, fmt=options["fmt"])
