"""The command that ``ledger run hf`` starts: a causal language model under a real ``Trainer``.

The model is a local directory, or ``tiny``: a small GPT-2 built on the spot, over
bytes. The data is a local file. Nothing is downloaded: the hub is switched off
before transformers is imported. It prints one line per gate check.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ledger import LedgerError, MisuseError
from producers.gates.check import Check
from producers.gates.corpus import Corpus, load_corpus
from producers.gates.corruption import KINDS, Corruption
from producers.gates.lines import check_line
from producers.gates.modelfaults import Faults
from producers.gates.options import (
    USAGE,
    GateChoice,
    RunnerParser,
    add_gate_options,
    chosen_gate,
)

_INTERNAL = 3
_STRICT = "LEDGER_STRICT_DETERMINISM"  # the wrapper sets it with --strict-determinism
TINY = "tiny"
_TINY_VOCABULARY = 256  # bytes
_TINY_WIDTH = 64


class _TerminatedError(BaseException):
    """SIGTERM arrived: like KeyboardInterrupt, no handler of Exception may swallow it."""


@dataclass(frozen=True, slots=True)
class Text:
    """What is trained on: whole sequences of token ids, as a list of lists."""

    corpus: Corpus
    sequences: Sequence[Sequence[int]]
    vocabulary: int


def main(argv: Sequence[str] | None = None) -> int:
    """Train, and return the exit code: 0, 3 when it could not be recorded, 64 for bad usage."""
    options = _parser().parse_args(argv)
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    previous = signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        _train(options, chosen_gate(options))
    except MisuseError as error:
        return _complain(str(error), USAGE)
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


def _train(options: argparse.Namespace, gate: GateChoice) -> None:
    _check_sizes(options)
    outdir = _outdir(options)
    corpus = load_corpus(options.data)
    import torch
    from transformers import set_seed
    from transformers.utils.logging import disable_progress_bar

    from producers.gates.callback import LedgerCallback

    disable_progress_bar()
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(mode=os.environ.get(_STRICT) == "1")
    set_seed(options.seed)
    model, text = _model_and_text(options, corpus)
    if options.corrupt is not None:
        options.corrupt.check_dose(batch=options.batch, block=options.block)
    ledger = LedgerCallback(
        outdir,
        preset=gate.plan,
        data=corpus.as_data(),
        stop_on=options.stop_on,
        resume_from=options.resume,
        injection=None if options.corrupt is None else options.corrupt.as_data(),
        on_check=_Printer(gate),
    )
    trainer = _trainer(options, outdir, model=model, text=text, ledger=ledger)
    resume = None if options.resume is None else str(options.resume)
    try:
        trainer.train(resume_from_checkpoint=resume)
    except BaseException as error:
        ledger.close(error)
        raise


def _trainer(
    options: argparse.Namespace, outdir: Path, *, model: Any, text: Text, ledger: Any
) -> Any:
    import torch
    from transformers import PrinterCallback, Trainer

    fault: Corruption | None = options.corrupt
    callbacks = [ledger]
    faults = None
    if fault is not None:
        faults = Faults(
            fault,
            lambda: int(trainer.state.global_step),  # asked at each step: then there is one
            seed=options.seed,
            vocabulary=text.vocabulary,
        )
        faults.attach(model)
        callbacks.append(_announcer(fault, ledger))
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, betas=(0.9, 0.95))
    rate = _schedule(options, faults)
    trainer = Trainer(
        model=model,
        args=_arguments(options, outdir),
        train_dataset=[{"input_ids": ids, "labels": ids} for ids in text.sequences],
        data_collator=_stack,
        callbacks=callbacks,
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, rate)),
    )
    trainer.remove_callback(PrinterCallback)  # what it prints is not ours
    return trainer


def _arguments(options: argparse.Namespace, outdir: Path) -> Any:
    import torch
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(outdir),
        max_steps=options.max_steps,
        per_device_train_batch_size=options.batch,
        learning_rate=options.lr,
        warmup_steps=options.warmup_steps,
        save_strategy="steps" if options.save_steps else "no",
        save_steps=options.save_steps or options.max_steps,
        logging_strategy="no",
        report_to=[],
        seed=options.seed,
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _schedule(options: argparse.Namespace, faults: Faults | None) -> Callable[[int], float]:
    """Return the factor of the learning rate at a step: a rise, a line to nothing, the fault."""

    def rate(step: int) -> float:
        rise = min(1.0, (step + 1) / max(1, int(options.warmup_steps)))
        fall = max(0.0, 1 - step / int(options.max_steps))
        return rise * fall * (1.0 if faults is None else faults.rate(step))

    return rate


def _announcer(fault: Corruption, ledger: Any) -> Any:
    """Return the callback that puts the fault on record when it begins."""
    from transformers import TrainerCallback

    class Announcer(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
        """Says it once."""

        announced = False

        def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            """Look whether it is time."""
            del args, control, others
            step = state.global_step
            if self.announced or not fault.covers(step) or ledger.run is None:
                return
            self.announced = True
            whole = 1.0 if fault.fraction is None else fault.fraction
            ledger.run.inject(step, fault.kind, fraction=whole, factor=fault.factor)

    return Announcer()


def _stack(rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, Any]:
    """Make a batch of sequences that are all of one length."""
    import torch

    ids = torch.tensor([row["input_ids"] for row in rows])
    return {"input_ids": ids, "labels": ids.clone()}


def _model_and_text(options: argparse.Namespace, corpus: Corpus) -> tuple[Any, Text]:
    if options.model == TINY:
        ids: Sequence[int] = corpus.content
        model, vocabulary = _tiny(options.block), _TINY_VOCABULARY
    else:
        model, ids, vocabulary = _local(Path(options.model), corpus)
    block = options.block
    sequences = [list(ids[i : i + block]) for i in range(0, len(ids) - block + 1, block)]
    if not sequences:
        raise MisuseError(f"{corpus.name} has {len(ids)} tokens: too few for --block {block}")
    return model, Text(corpus, sequences, vocabulary)


def _tiny(block: int) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=_TINY_VOCABULARY,
            n_positions=block,
            n_embd=_TINY_WIDTH,
            n_layer=2,
            n_head=2,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    model.loss_type = "ForCausalLM"  # what it is anyway; transformers warns unless it is said
    return model


def _local(folder: Path, corpus: Corpus) -> tuple[Any, Sequence[int], int]:
    """Load a model and its tokenizer from *folder*, and tokenize the corpus."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not folder.is_dir():
        raise MisuseError(f"--model {folder}: expected a directory of weights, or {TINY}")
    try:
        text = corpus.content.decode()
    except UnicodeDecodeError as error:
        raise MisuseError(
            f"{corpus.name} is not UTF-8 at byte {error.start}: a tokenizer needs text"
            f" (--model {TINY} takes any bytes)"
        ) from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise MisuseError(f"--model {folder} cannot be loaded: {error}") from error
    ids: Sequence[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return model, ids, int(model.config.vocab_size)


def _check_sizes(options: argparse.Namespace) -> None:
    sizes = (options.max_steps, options.batch, options.block, options.threads)
    if min(sizes) < 1 or min(options.seed, options.warmup_steps, options.save_steps) < 0:
        raise MisuseError(
            "--max-steps, --batch, --block and --threads are at least 1;"
            " --seed, --warmup-steps and --save-steps at least 0"
        )
    if not 0 < options.lr < float("inf"):
        raise MisuseError(f"--lr {options.lr}: expected a number above 0")
    if options.resume is not None and not options.resume.is_dir():
        raise MisuseError(f"--resume {options.resume}: there is no such checkpoint directory")


def _outdir(options: argparse.Namespace) -> Path:
    """Return the run directory: the wrapper's, which an option may repeat but not contradict."""
    for name, given in (("LEDGER_OUTDIR", options.outdir), ("LEDGER_RUN_ID", options.run_id)):
        told = os.environ.get(name)
        same = given is None or told is None or str(given) == told
        if not same and not (name == "LEDGER_OUTDIR" and Path(given).resolve() == Path(told or "")):
            raise MisuseError(f"the wrapper says {name}={told}, the options say {given}")
    found = os.environ.get("LEDGER_OUTDIR") or options.outdir
    if found is None:
        raise MisuseError("start it with: ledger run hf --outdir DIR -- OPTIONS")
    return Path(found)


class _Printer:
    """Prints a line for each check."""

    def __init__(self, gate: GateChoice) -> None:
        self._plan = gate.plan

    def __call__(self, check: Check, loss: float | None) -> None:
        sys.stdout.write(check_line(check, loss, self._plan) + "\n")
        sys.stdout.flush()


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


def _on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise _TerminatedError


def _parser() -> RunnerParser:
    parser = RunnerParser("ledger run hf --", "Train a causal language model under the gate.")
    add = parser.add_argument
    add(
        "--model", default=TINY, metavar="DIR", help="a local model, or a small GPT-2 (%(default)s)"
    )
    add("--data", type=Path, metavar="FILE", help="train on this file, not on Python's help")
    add("--max-steps", type=int, default=1500, metavar="N", help="optimizer steps (%(default)s)")
    add("--seed", type=int, default=1, metavar="N", help="of weights and order (%(default)s)")
    add("--batch", type=int, default=16, metavar="N", help="sequences a step (%(default)s)")
    add("--block", type=int, default=64, metavar="N", help="tokens a sequence (%(default)s)")
    add("--lr", type=float, default=1e-3, metavar="X", help="peak learning rate (%(default)s)")
    add("--warmup-steps", type=int, default=20, metavar="N", help="to the peak (%(default)s)")
    add("--save-steps", type=int, default=0, metavar="N", help="0 saves nothing (%(default)s)")
    add("--resume", type=Path, metavar="CHECKPOINT", help="go on from it, if it is on record")
    add("--threads", type=int, default=1, metavar="N", help="torch threads (%(default)s)")
    add("--outdir", metavar="DIR", help="where to record, without ledger run")
    add("--run-id", metavar="ID", help="must be the wrapper's")
    add(
        "--corrupt",
        type=_corruption,
        metavar="KIND@ITER[:LEN[:AMOUNT]]",
        help=f"inflict a fault from ITER on: {', '.join(KINDS)}",
    )
    add_gate_options(parser)
    return parser


def _corruption(text: str) -> Corruption:
    try:
        return Corruption.parse(text)
    except MisuseError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    raise SystemExit(main())
