"""Which command a kind of run starts: our own runner, the user's in its place, or any."""

import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ledger.errors import MisuseError

OWN = {"gpt": "producers.gates.gpt", "hf": "producers.gates.hf"}
"""Our runners: the kind, and the module that is run."""

_PRESET = ("--gate-preset", "--gate_preset")
_OVERRIDES = ("LEDGER_{}_RUNNER_CMD", "VERISCOPE_{}_RUNNER_CMD")


class Runner(NamedTuple):
    """The words that begin the command, and whether the program is one of ours."""

    words: tuple[str, ...]
    own: bool


def runner_of(kind: str, env: Mapping[str, str], *, python: str) -> Runner:
    """Return the runner of *kind*: no words at all for a kind that has no runner of its own.

    ``LEDGER_GPT_RUNNER_CMD`` and ``LEDGER_HF_RUNNER_CMD`` put another command in
    the place of ours; the names that begin ``VERISCOPE_`` mean the same.

    Raises:
        MisuseError: Such a variable has an open quote in it.
    """
    if kind not in OWN:
        return Runner((), own=False)
    for pattern in _OVERRIDES:
        name = pattern.format(kind.upper())
        try:
            words = tuple(shlex.split(env.get(name, "")))
        except ValueError as error:
            raise MisuseError(f"{name} is not a command line: {error}") from error
        if words:
            return Runner(words, own=False)
    return Runner((python, "-m", OWN[kind]), own=True)


def preset_among(arguments: Sequence[str]) -> str | None:
    """Return the gate preset that a runner's own arguments name, the last one if several do."""
    found = None
    for i, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in _PRESET:
            found = value if equals else next(iter(arguments[i + 1 :]), None)
    return found


def arguments_for(
    runner: Runner, arguments: tuple[str, ...], *, preset: str | None, stop_on_fail: bool
) -> tuple[str, ...]:
    """Return the arguments that a runner gets: its own, behind what we tell one of ours."""
    told: tuple[str, ...] = ()
    if runner.own and preset is not None and preset_among(arguments) is None:
        told += ("--gate-preset", preset)
    if runner.own and stop_on_fail and not _names(arguments, "--stop-on"):
        told += ("--stop-on", "fail")
    return told + arguments


def _names(arguments: Sequence[str], option: str) -> bool:
    return any(a == option or a.startswith(f"{option}=") for a in arguments)
