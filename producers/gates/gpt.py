"""The command that ``ledger run gpt`` starts: a real GPT, trained under the gate.

It prints one line per gate check and records everything else. It trains alone, or
as several ranks: ``--ranks N`` starts them, and a launcher such as ``torchrun``
may have done so already.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from ledger import LedgerError, MisuseError
from producers.gates.check import Check
from producers.gates.corpus import Corpus, load_corpus
from producers.gates.corruption import KINDS, Corruption
from producers.gates.distributed import RankError, find_seat
from producers.gates.lines import check_line
from producers.gates.options import (
    USAGE,
    GateChoice,
    RunnerParser,
    add_gate_options,
    chosen_gate,
)
from producers.gates.plan import DEMO
from producers.gates.recording import GatedRun
from producers.gates.shared import SharedRun, shared_run
from producers.gates.training import SCHEDULES, Settings, train
from producers.runs.session import attach

_INTERNAL = 3
_FAILED = 2
_ITERS = 3000  # two thousand of them after the warm-up of the canonical gate
_RANK_TIMEOUT_S = 300.0
_SIZES = ("seed", "layers", "width", "batch", "block", "lr", "schedule", "dropout", "threads")


class _TerminatedError(BaseException):
    """SIGTERM arrived: like KeyboardInterrupt, no handler of Exception may swallow it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train, and return the exit code.

    0 is done, 2 that the ranks of a distributed run lost each other, 3 that the
    run could not be recorded, 64 bad usage.
    """
    given = tuple(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(given)
    previous = signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        _train(options, given)
    except MisuseError as error:
        return _complain(str(error), USAGE)
    except RankError as error:
        return _complain(f"the run failed: {error}", _FAILED)
    except LedgerError as error:
        return _complain(f"the run could not be recorded: {error}", _INTERNAL)
    except (_TerminatedError, KeyboardInterrupt) as error:
        # What was recorded is durable by now. Die of the signal, so that the wrapper sees it.
        number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return _INTERNAL
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


def usage() -> str:
    """Return what ``--help`` prints; torch is not imported for it."""
    return _parser().format_help()


def _train(options: argparse.Namespace, argv: Sequence[str]) -> None:
    gate = chosen_gate(options)
    seat = find_seat(options.ranks, os.environ)
    settings = _settings(options, gate)
    corpus = load_corpus(options.data)
    if seat is None or seat.rank == 0:
        _say_what_it_reads(corpus)
    # Nothing here needs a hub; say so before transformers looks for one.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    ranks = options.ranks or 1
    if seat is None and ranks == 1:
        with attach() as session:
            run = GatedRun(session, gate.plan)
            train(settings, corpus, run, watch=_Printer(run), stop_on=gate.stop_on)
        return
    command = (sys.executable, "-m", "producers.gates.gpt", *argv)
    timeout = options.rank_timeout
    with shared_run(gate.plan, seat, ranks=ranks, command=command, timeout=timeout) as shared:
        watch = _Printer(shared) if shared.group.is_chief else _look_away
        train(settings, corpus, shared, watch=watch, stop_on=gate.stop_on, group=shared.group)


def _settings(options: argparse.Namespace, gate: GateChoice) -> Settings:
    iters = options.max_iters
    if iters is None:
        iters = Settings().max_iters if gate.plan.preset == DEMO.preset else _ITERS
    return Settings(
        max_iters=iters,
        corrupt=options.corrupt,
        gate=gate.plan,
        overrides=gate.overrides,
        **{name: getattr(options, name) for name in _SIZES},
    )


class _Printer:
    """Prints a line for each check."""

    def __init__(self, run: GatedRun) -> None:
        self._run = run

    def __call__(self, check: Check, values: Mapping[str, float]) -> None:
        shown = self._run.latest if isinstance(self._run, SharedRun) else values
        sys.stdout.write(check_line(check, shown.get("loss"), self._run.plan) + "\n")
        sys.stdout.flush()


def _look_away(check: Check, values: Mapping[str, float]) -> None:
    del check, values


def _say_what_it_reads(corpus: Corpus) -> None:
    try:
        corpus.content.decode()
        how = "one token a byte"
    except UnicodeDecodeError as error:
        how = f"one token a byte; it is not UTF-8 (byte {error.start}), and need not be"
    sys.stderr.write(f"training on {corpus.name}: {len(corpus.content)} bytes, {how}\n")


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


def _on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise _TerminatedError


def _parser() -> RunnerParser:
    parser = RunnerParser("ledger run gpt --", "Train a small GPT under the gate.")
    _add_training_options(parser)
    add_gate_options(parser)
    group = parser.add_argument_group("several ranks")
    group.add_argument(
        "--ranks", type=_count, metavar="N", help="processes that train together (1)"
    )
    group.add_argument(
        "--rank-timeout",
        type=_seconds,
        default=_RANK_TIMEOUT_S,
        metavar="S",
        help="fail when a rank was silent for so many seconds (%(default)g)",
    )
    return parser


def _add_training_options(parser: RunnerParser) -> None:
    defaults = Settings()
    iters = f"optimizer steps ({_ITERS}; {defaults.max_iters} under {DEMO.preset})"
    add = parser.add_argument
    add("--max-iters", type=int, metavar="N", help=iters)
    add("--seed", type=int, default=defaults.seed, help="of weights and batches (%(default)s)")
    add("--data", type=Path, metavar="FILE", help="train on these bytes, not on Python's help")
    add("--layers", type=int, default=defaults.layers, help="(%(default)s)")
    add("--width", type=int, default=defaults.width, help="(%(default)s)")
    add("--batch", type=int, default=defaults.batch, help="sequences a step (%(default)s)")
    add("--block", type=int, default=defaults.block, help="tokens a sequence (%(default)s)")
    add("--lr", type=float, default=defaults.lr, help="peak learning rate (%(default)s)")
    add("--schedule", choices=SCHEDULES, default=defaults.schedule, help="(%(default)s)")
    add("--dropout", type=float, default=defaults.dropout, help="(%(default)s)")
    add("--threads", type=int, default=defaults.threads, help="torch threads (%(default)s)")
    add(
        "--corrupt",
        type=_corruption,
        metavar="KIND@ITER[:LEN[:AMOUNT]]",
        help=f"inflict a fault from ITER on: {', '.join(KINDS)}",
    )


def _corruption(text: str) -> Corruption:
    try:
        return Corruption.parse(text)
    except MisuseError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
