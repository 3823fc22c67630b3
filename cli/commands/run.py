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
    outdir: Path | None
    force: bool
    name: str | None
    gate_preset: str | None
    strict_determinism: bool
    fail_on: str | None
    stop_on_fail: bool
    resume: Path | None
    timeout: float | None
    grace: float
    key_file: Path | None


@make_command("run")
@click.argument("kind")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGS...]")
@click.option("--outdir", type=_PATH, metavar="DIR", help="Where everything goes  [default: out/…]")
@click.option("--force", is_flag=True, help="If DIR holds a run, use a new directory in it.")
@click.option("--name", metavar="NAME", help="What the ledger calls itself [default: DIR]")
@click.option("--gate-preset", metavar="P", help="gpt, hf: the gate's plan  [default: tuned_v0]")
@click.option("--strict-determinism", is_flag=True, help="Refuse a run that is not repeatable.")
@click.option("--fail-on", type=click.Choice(["warn", "fail"]), help="Exit 1 if the gate did so.")
@click.option("--stop-on-fail", is_flag=True, help="End the training when its gate fails.")
@click.option("--resume", type=_PATH, metavar="CKPT", help="hf: go on, in the ledger of DIR.")
@click.option("--timeout", type=_SECONDS, metavar="S", help="Stop the run after this.")
@click.option("--grace", type=_SECONDS, default=10.0, metavar="S", help="Before it is killed.")
@key_option
def command(**options: Unpack[Options]) -> Output:
    """Run a training under the witness of another process, and record its story in DIR.

    KIND gpt trains our small GPT, hf a model of yours with transformers; ARGS are the runner's
    options (see them: ledger run hf -- --help). Any other KIND is a name of yours, and ARGS the
    command. LEDGER_GPT_RUNNER_CMD and LEDGER_HF_RUNNER_CMD put another command in the place of our
    runner. Exit codes: 0 the run succeeded, whatever its gate said; 2 the command failed or could
    not be started; 3 it could not be recorded.
    """
    wanted = running.Wanted(
        kind=options["kind"],
        arguments=options["arguments"],
        outdir=options["outdir"],
        force=options["force"],
        name=options["name"],
        gate_preset=options["gate_preset"],
        strict_determinism=options["strict_determinism"],
        stop_on_fail=options["stop_on_fail"],
        resume=options["resume"],
        timeout=options["timeout"],
        grace=options["grace"],
        stdout=2 if wants_json() else 1,
    )
    if running.asks_for_help(wanted):
        return running.runner_help(wanted.kind)
    done = running.run(wanted, options["key_file"])
    return running.answer(done, fail_on=options["fail_on"])
