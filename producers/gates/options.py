"""The options of the gate, the same for each of our runners: a preset, and what departs from it.

A runner makes a :class:`RunnerParser`, adds them with :func:`add_gate_options` and
reads them with :func:`chosen_gate`. Every option may be spelled with underscores
too (``--gate_window``), and some have the name that other tools know them by.
"""

import argparse
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from ledger import MisuseError
from producers.gates.controls import CONTROLS, Control, Value
from producers.gates.gate import AnyPlan
from producers.gates.presets import CANONICAL, PRESETS, departures, preset

USAGE = 64
"""The exit code of bad usage, everywhere in this project."""

_NONE = "none"
_OTHER_NAMES: Mapping[str, str] = {
    "--gate-gain-thresh": "--gate-gain",
    "--gate-persistence-k": "--gate-persistence",
    "--metric-interval": "--gate-metric-interval",
    "--min-metrics-exceeding": "--gate-min-metrics-exceeding",
}
_METAVARS = {int: "N", float: "X", str: "NAME"}
_STOPS: Mapping[str | None, frozenset[str]] = {
    None: frozenset(),
    "fail": frozenset({"fail"}),
    "warn": frozenset({"warn", "fail"}),
}


@dataclass(frozen=True, slots=True)
class GateChoice:
    """What the options ask for.

    ``overrides`` are the controls in which ``plan`` departs from its preset, for
    ``run.planned``; ``stop_on`` the decisions after which the run is to end.
    """

    plan: AnyPlan
    overrides: Mapping[str, Value]
    stop_on: Collection[str]


class RunnerParser(argparse.ArgumentParser):
    """argparse, as our runners use it: no abbreviations, either spelling, exit code 64.

    argparse's own 2 would say that a run failed.
    """

    def __init__(self, prog: str, description: str) -> None:
        """Describe the runner."""
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def parse_known_args(  # type: ignore[override]  # a parser of ours fills no other namespace
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, with every option in the spelling that it was added in."""
        given = sys.argv[1:] if args is None else args
        return super().parse_known_args([_spelled(text) for text in given], namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit 64."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"{self.prog}: {message}\n")


def add_gate_options(parser: argparse.ArgumentParser, *, default: str = CANONICAL) -> None:
    """Add the options of the gate to a runner's *parser*; *default* names a preset."""
    group = parser.add_argument_group(
        "the gate", "a preset, and single controls of it, which are recorded as overrides"
    )
    group.add_argument(
        "--gate-preset",
        metavar="NAME",
        default=default,
        help=f"{', '.join(PRESETS)} (%(default)s)",
    )
    group.add_argument(
        "--stop-on",
        choices=("warn", "fail"),
        help="end the run after a check with this decision or a worse one",
    )
    for name, control in CONTROLS.items():
        group.add_argument(
            f"--gate-{name.replace('_', '-')}",
            type=_reader(control),
            default=argparse.SUPPRESS,
            metavar=_METAVARS[control.kind],
            help=control.what,
        )


def chosen_gate(options: argparse.Namespace) -> GateChoice:
    """Return what a runner's parsed *options* ask for.

    A control that is given the preset's own value is no override.

    Raises:
        MisuseError: There is no such preset, its kind of gate has no such control, or
            the plan that comes out cannot be carried out.
    """
    given = vars(options)
    asked = {name: given[f"gate_{name}"] for name in CONTROLS if f"gate_{name}" in given}
    plan = preset(options.gate_preset, asked)
    return GateChoice(plan, departures(plan), _STOPS[options.stop_on])


def _spelled(text: str) -> str:
    if not text.startswith("--"):
        return text
    name, equals, value = text.partition("=")
    dashed = name.replace("_", "-")
    return _OTHER_NAMES.get(dashed, dashed) + equals + value


def _reader(control: Control) -> Callable[[str], Value]:
    def read(text: str) -> Value:
        if control.optional and text == _NONE:
            return None
        try:
            return control.take("", control.kind(text))
        except (ValueError, MisuseError) as error:
            wanted = {int: "a whole number", float: "a number", str: "a name"}[control.kind]
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}") from error

    return read
