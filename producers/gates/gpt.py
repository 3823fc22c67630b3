"""The command that ``ledger run gpt`` starts: a real GPT, trained under the gate.

It prints one line per gate check and records everything else.
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
from producers.gates.corpus import load_corpus
from producers.gates.corruption import Corruption
from producers.gates.decide import Check
from producers.gates.training import Settings, train
from producers.runs.session import attach

_USAGE = 64
_INTERNAL = 3


class _Parser(argparse.ArgumentParser):
    """argparse exits 2 on bad usage, which here means that a run failed."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit 64."""
        self.print_usage(sys.stderr)
        self.exit(_USAGE, f"{self.prog}: {message}\n")


class _TerminatedError(BaseException):
    """SIGTERM arrived: like KeyboardInterrupt, no handler of Exception may swallow it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train, and return the exit code: 0, 3 when it could not be recorded, 64 for bad usage."""
    options = _parser().parse_args(argv)
    previous = signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        return _train(options)
    except MisuseError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    except LedgerError as error:
        sys.stderr.write(f"the run could not be recorded: {error}\n")
        return _INTERNAL
    except (_TerminatedError, KeyboardInterrupt) as error:
        # What was recorded is durable by now. Die of the signal, so that the wrapper sees it.
        number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return _INTERNAL
    finally:
        signal.signal(signal.SIGTERM, previous)


def usage() -> str:
    """Return what ``--help`` prints; torch is not imported for it."""
    return _parser().format_help()


def _train(options: argparse.Namespace) -> int:
    names = ("max_iters", "seed", "layers", "width", "batch", "block", "lr", "threads", "corrupt")
    settings = Settings(**{name: getattr(options, name) for name in names})
    corpus = load_corpus(options.data)
    # Nothing here needs a hub; say so before transformers looks for one.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with attach() as session:
        train(settings, corpus, session, watch=_print_check)
    return 0


def _print_check(check: Check, values: Mapping[str, float]) -> None:
    distance = "  D_W  -   "
    if check.eps_eff is not None:
        shown = "nan" if check.worst_dw is None else f"{check.worst_dw:.3f}"
        sign = "<=" if check.decision == "pass" else "> "
        distance = f"  D_W {shown} {sign} {check.eps_eff:.3f}"
    numbers = "  ".join(f"{name} {value:.3f}" for name, value in sorted(values.items()))
    why = "" if check.reason == check.decision else f"  ({check.reason})"
    sys.stdout.write(f"iter {check.iter:5d}  {check.decision:4}{distance:22}  {numbers}{why}\n")
    sys.stdout.flush()


def _on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise _TerminatedError


def _parser() -> _Parser:
    defaults = Settings()
    parser = _Parser(prog="ledger run gpt --", description="Train a small GPT under the gate.")
    add = parser.add_argument
    add("--max-iters", type=int, default=defaults.max_iters, help="optimizer steps (%(default)s)")
    add("--seed", type=int, default=defaults.seed, help="of weights and batches (%(default)s)")
    add("--data", type=Path, metavar="FILE", help="train on this file instead of Python's help")
    add("--layers", type=int, default=defaults.layers, help="(%(default)s)")
    add("--width", type=int, default=defaults.width, help="(%(default)s)")
    add("--batch", type=int, default=defaults.batch, help="sequences a step (%(default)s)")
    add("--block", type=int, default=defaults.block, help="tokens a sequence (%(default)s)")
    add("--lr", type=float, default=defaults.lr, help="peak learning rate (%(default)s)")
    add("--threads", type=int, default=defaults.threads, help="torch threads (%(default)s)")
    add(
        "--corrupt",
        type=_corruption,
        metavar="random@ITER[:LEN[:FRACTION]]",
        help="replace input tokens by random ones from ITER on",
    )
    return parser


def _corruption(text: str) -> Corruption:
    try:
        return Corruption.parse(text)
    except MisuseError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    raise SystemExit(main())
