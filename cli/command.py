"""What all commands share: ``--json``, a help text, and errors that know their place."""

import gc
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from cli import table
from cli.output import Output

P = ParamSpec("P")
T = TypeVar("T")
Answer = Output | int
_JSON = "evidence-ledger.json"


class ReaderGoneError(Exception):
    """Whoever read our output has stopped reading."""


def make_command(
    name: str, *, group: click.Group | None = None, passes: bool = False
) -> Callable[[Callable[P, Answer]], click.Command]:
    """Make a function a command that prints the ``Output`` it returns.

    With *passes*, arguments that the command does not know are handed to it.
    """

    def make(function: Callable[P, Answer]) -> click.Command:
        settings = {"ignore_unknown_options": True} if passes else {}
        short = table.COMMANDS.get(name) if group is None else None
        maker = click.command if group is None else group.command
        made: click.Command = maker(name, short_help=short, context_settings=settings)(
            _answering(function)
        )
        made.params.append(_json_option())
        return made

    return make


def wants_json() -> bool:
    """Tell whether ``--json`` was given to the command that is running."""
    return bool(click.get_current_context().meta.get(_JSON, False))


def path_argument(name: str = "path", metavar: str = "PATH") -> Callable[[T], T]:
    """Return the argument that names a ledger."""
    kind = click.Path(path_type=Path)
    return click.argument(name, type=kind, metavar=metavar)  # type: ignore[return-value]


def key_option(function: T) -> T:
    """Add ``--key``, which all writing commands have."""
    option = click.option(
        "--key",
        "key_file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="The OpenSSH Ed25519 key to sign with  [default: $LEDGER_KEY,"
        " or ~/.config/evidence-ledger/key]",
    )
    return option(function)  # type: ignore[type-var]


def timeout_option(function: T) -> T:
    """Add ``--timeout``, for what takes the ledger's lock."""
    option = click.option(
        "--timeout",
        type=click.FloatRange(0),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for other writers.",
    )
    return option(function)  # type: ignore[type-var]


def _json_option() -> click.Option:
    return click.Option(
        ["--json"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_note_json,
        help="Print one JSON object, errors included.",
    )


def _note_json(ctx: click.Context, param: click.Parameter, value: object) -> None:
    del param
    ctx.meta[_JSON] = bool(value)


def _answering(function: Callable[P, Answer]) -> Callable[P, int]:
    @wraps(function)
    def answer(*args: P.args, **kwargs: P.kwargs) -> int:
        gc.enable()
        try:
            result = function(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except BrokenPipeError as error:
            raise ReaderGoneError from error  # click would make it an exit code of 1
        except Exception as error:
            from cli.errors import located

            raise located(error, click.get_current_context().params) from error
        return result if isinstance(result, int) else result.emit(as_json=wants_json())

    return answer
