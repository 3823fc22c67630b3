"""The ``ledger`` command: finds the command, runs it, turns what goes wrong into an exit code.

Start-up is part of the interface: ``--help`` imports no command, and a command
imports only what it uses.
"""

import atexit
import gc
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from cli import VERSION, exits, table


class Terminated(BaseException):
    """SIGTERM came: unwind, so that nothing is left half-written."""


class Commands(click.Group):
    """The commands of the table, imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names, in the order of the table."""
        del ctx
        return list(table.COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        del ctx
        if cmd_name not in table.COMMANDS:
            return None
        from importlib import import_module

        module = import_module(table.module_of(cmd_name))
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table."""
        del ctx
        for title, section in table.SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([*section.items()], col_max=30)


def _print_version(ctx: click.Context, param: click.Parameter, value: object) -> None:
    del param
    if value:
        click.echo(f"ledger {VERSION}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
def cli() -> None:
    """Signed, hash-chained evidence of what happened: write it, read it, prove it.

    PATH is a .jsonl, a .sqlite or .db, or a run directory. `ledger demo` shows it all.
    """


def main() -> NoReturn:
    """Run this process's command line, and leave."""
    gc.disable()  # importing makes objects that stay; a command turns it on again
    signal.signal(signal.SIGTERM, _terminate)
    code = run(sys.argv[1:])
    # Taking the interpreter apart would cost a tenth of a short command, and all is done.
    atexit._run_exitfuncs()  # noqa: SLF001 - what was promised to run at exit still runs
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command line, and return its exit code."""
    try:
        code = cli.main(list(arguments), prog_name="ledger", standalone_mode=False)
    except Terminated:
        return exits.TERMINATED
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - every error ends in an exit code and a text
        return _report(error, as_json="--json" in _own(arguments))
    return int(code or exits.OK)


def _report(error: Exception, *, as_json: bool) -> int:
    from cli.command import ReaderGoneError
    from cli.errors import report

    try:
        return (
            _stop_writing()
            if isinstance(error, ReaderGoneError)
            else report(error, as_json=as_json)
        )
    except BrokenPipeError:
        return _stop_writing()


def _own(arguments: Sequence[str]) -> Sequence[str]:
    """Return the arguments that are ours: what comes after ``--`` is for the runner."""
    return arguments[: list(arguments).index("--")] if "--" in arguments else arguments


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise Terminated


def _stop_writing() -> int:
    """Whoever read our output has gone; the interpreter must not complain about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return exits.BROKEN_PIPE
