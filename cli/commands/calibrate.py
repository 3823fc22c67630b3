"""``ledger calibrate``."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from cli.capsules import calibrating
from cli.command import make_command, wants_json
from cli.output import Output

_DIR = click.Path(path_type=Path)


class Options(TypedDict):
    """The options of ``ledger calibrate``."""

    control_dirs: tuple[Path, ...]
    injected_dir: Path
    onset: int | None
    out: Path
    out_md: Path


@make_command("calibrate")
@click.option(
    "--control-dir",
    "control_dirs",
    type=_DIR,
    multiple=True,
    required=True,
    metavar="DIR",
    help="The capsule of a healthy run; several are pooled.",
)
@click.option(
    "--injected-dir", type=_DIR, required=True, metavar="DIR", help="That of a run with a fault."
)
@click.option(
    "--injection-onset-iter",
    "onset",
    type=click.IntRange(0),
    metavar="N",
    help="When the fault began, if the capsule does not say.",
)
@click.option(
    "--out",
    type=_DIR,
    default=Path("calibration.json"),
    show_default=True,
    metavar="FILE",
    help="Where the numbers go.",
)
@click.option(
    "--out-md",
    type=_DIR,
    default=Path("calibration.md"),
    show_default=True,
    metavar="FILE",
    help="Where the page goes.",
)
def command(**options: Unpack[Options]) -> Output | int:
    """Tell how often a gate alarms on healthy runs, and how soon on a broken one.

    False-alarm rate with its exact 95 % interval, delay in windows, overhead. A gate that alarmed
    before the fault began has no delay. Exit codes: 0 done, 2 unfit input, 3 internal error.
    """
    wanted = calibrating.Wanted(
        controls=options["control_dirs"],
        injected=options["injected_dir"],
        onset=options["onset"],
        out=options["out"],
        out_md=options["out_md"],
    )
    return calibrating.run(wanted, quiet=wants_json())
