"""``ledger demo``."""

from pathlib import Path

import click

from cli import demo
from cli.command import make_command, wants_json
from cli.output import Output


@make_command("demo")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("ledger-demo"),
    show_default=True,
    metavar="DIR",
    help="Where to; a number is added if it exists.",
)
@click.option("--iters", type=click.IntRange(1), metavar="N", help="Train for N iterations.")
@click.option(
    "--corrupt",
    default=demo.CORRUPT,
    show_default=True,
    metavar="random@ITER",
    help="When its input turns to noise.",
)
def command(folder: Path, iters: int | None, corrupt: str) -> Output:
    """Train a small GPT under a gate, corrupt its input on the way, and prove what happened.

    The run is recorded, verified with a pinned id and checkpoint, exported, and then one byte of a
    copy is changed: the verifier must name the entry. Exit code 0 only if each step did as it
    should. Needs the extra `train`; nothing is downloaded.
    """
    story = demo.Demo(demo.fresh(folder), quiet=wants_json())
    story.play(corrupt=corrupt, iters=iters)
    return story.answer()
