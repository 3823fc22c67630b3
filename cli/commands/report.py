"""``ledger report``."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from cli.capsules import comparing, reporting
from cli.capsules.options import format_option, gate_preset_option
from cli.command import make_command, wants_json
from cli.output import Output
from ledger.errors import MisuseError


class Options(TypedDict):
    """The options of ``ledger report``."""

    compare: bool
    fmt: str
    allow_incompatible: bool
    allow_gate_preset_mismatch: bool


@make_command("report")
@click.argument("paths", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--compare", is_flag=True, help="Put several capsules into one table.")
@format_option("text", "md", "json")
@click.option("--allow-incompatible", is_flag=True, help="Show runs that may not be compared too.")
@gate_preset_option
def command(paths: tuple[Path, ...], **options: Unpack[Options]) -> Output | int:
    """Print the report of the capsule in DIR, or with --compare a table of several.

    With a ledger in DIR it is the projection `report`, byte for byte; without one it is made from
    the files. Exit codes: 0 done, 2 invalid, or with --compare not comparable.
    """
    if options["compare"]:
        return comparing.compare(
            paths,
            fmt="json" if wants_json() else options["fmt"],
            allow_incompatible=options["allow_incompatible"],
            allow_gate_preset_mismatch=options["allow_gate_preset_mismatch"],
        )
    if len(paths) > 1:
        raise MisuseError("a report is about one DIR; --compare takes several")
    if wants_json():
        made = reporting.render(paths[0], fmt="text")
        return 2 if made is None else Output("report", {"report": made.decode()}, "")
    if options["fmt"] == "json":
        raise MisuseError("--format json belongs to --compare")
    return reporting.report(paths[0], fmt=options["fmt"])
