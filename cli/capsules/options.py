"""The options that the commands about capsules share."""

from collections.abc import Callable
from typing import TypedDict, TypeVar

import click

from cli.command import path_argument
from verifier.contract import Options

T = TypeVar("T")


class Strictness(TypedDict):
    """The four flags of ``validate``."""

    strict_governance: bool
    require_governance: bool
    strict_identity: bool
    allow_legacy_governance: bool


def directory(function: T) -> T:
    """Add the argument that names a capsule."""
    return path_argument("path", "DIR")(function)


def strictness(function: T) -> T:
    """Add the four flags."""
    flags = {
        "--allow-legacy-governance": "Take log lines without entry_hash.",
        "--strict-identity": "Results and summary must be of one run, in partial capsules too.",
        "--require-governance": "governance_log.jsonl must be there.",
        "--strict-governance": "What is wrong with the log is an error, not a warning.",
    }
    for flag, text in flags.items():
        function = click.option(flag, is_flag=True, help=text)(function)  # type: ignore[type-var]
    return function


def as_options(given: Strictness, *, allow_partial: bool) -> Options:
    """Return the flags as the verifier takes them."""
    return Options(
        allow_partial=allow_partial,
        strict_identity=given["strict_identity"],
        require_governance=given["require_governance"],
        strict_governance=given["strict_governance"],
        allow_legacy_governance=given["allow_legacy_governance"],
    )


def format_option(default: str, *others: str) -> Callable[[T], T]:
    """Return ``--format``."""
    return click.option(  # type: ignore[return-value]
        "--format",
        "fmt",
        type=click.Choice([default, *others]),
        default=default,
        show_default=True,
        help="The form of what is printed.",
    )


def gate_preset_option(function: T) -> T:
    """Add ``--allow-gate-preset-mismatch``."""
    option = click.option(
        "--allow-gate-preset-mismatch", is_flag=True, help="Compare runs of different presets."
    )
    return option(function)  # type: ignore[type-var]
