"""``ledger run``."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from cli import running
from cli.command import key_option, make_command, wants_json
from cli.output import Output

_PATH = click.Path(path_type=Path)
_SECONDS = click.FloatRange(0)


class Options(TypedDict):
    """The options of ``ledger run``."""

    kind: str
    arguments: tuple[str, ...]
    outdir: Path
    force: bool
    name: str | None
    fail_on: str | None
    timeout: float | None
    grace: float
    key_file: Path | None


@make_command("run")
@click.argument("kind")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGS...]")
@click.option("--outdir", type=_PATH, required=True, metavar="DIR", help="Where everything goes.")
@click.option("--force", is_flag=True, help="If DIR holds a run, use a new directory in it.")
@click.option("--name", metavar="NAME", help="What the ledger calls itself [default: DIR]")
@click.option("--fail-on", type=click.Choice(["warn", "fail"]), help="Exit 1 if the gate did so.")
@click.option("--timeout", type=_SECONDS, metavar="S", help="Stop the run after this.")
@click.option("--grace", type=_SECONDS, default=10.0, metavar="S", help="Before it is killed.")
@key_option
def command(**options: Unpack[Options]) -> Output:
    """Run a training under the witness of another process, and record its story in DIR.

    KIND gpt trains our small GPT, and ARGS are its options (see them: ledger run gpt --outdir D
    -- --help). Any other KIND is a name of yours, and ARGS the command. Exit codes: 0 the run
    succeeded, whatever its gate said; 2 the command failed; 3 it could not be recorded.
    """
    spec = running.Wanted(
        kind=options["kind"],
        arguments=options["arguments"],
        outdir=options["outdir"],
        force=options["force"],
        name=options["name"],
        timeout=options["timeout"],
        grace=options["grace"],
        stdout=2 if wants_json() else 1,
    )
    if running.asks_for_help(spec):
        return running.runner_help()
    done = running.run(spec, options["key_file"])
    return running.answer(done, fail_on=options["fail_on"])
