"""A ``transformers.Trainer`` under the gate, in two lines.

    from producers import LedgerCallback
    trainer = Trainer(..., callbacks=[LedgerCallback("runs/a")])

The callback measures in the training's own forward passes (``producers.gates.hooks``),
at the iterations that the gate wants, and records plan, metrics, checks, saved
checkpoints and the end. Of several processes the first records, and an observation
is the mean over all. A training that goes on from a checkpoint is a new run of the
same ledger, and begins only if the checkpoint is the one on record.

An exception does not reach a callback. A training that one ended is recorded as
failed when the interpreter exits or the callback is used again, or at once with
``close``; under ``ledger run`` the wrapper sees it anyway.
"""

import atexit
import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

from transformers import TrainerCallback

from ledger import Key, MisuseError
from producers.gates import presets, world
from producers.gates.check import Check
from producers.gates.controls import Value
from producers.gates.distributed import reopen_key
from producers.gates.gate import AnyPlan
from producers.gates.hooks import Watch
from producers.gates.recording import GatedRun
from producers.gates.resume import Start, find_start, record_resume, record_save
from producers.runs.inprocess import OpenRun, close_after, data_source, open_run, plan_of

_STATE = "evidence_ledger"  # our place in trainer_state.json
_PREFIX = "checkpoint"
_STOPS = {"warn": frozenset({"warn", "fail"}), "fail": frozenset({"fail"})}


class LedgerCallback(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
    """Records one training after the other; see the module for how.

    *outdir*, *key* and *ledger* are as in ``producers.runs.inprocess.open_run``:
    under ``ledger run`` they are the wrapper's. *preset*, *data* and *overrides*
    are as in ``record_run``. *block* names the module to measure, by default the last
    block. *stop_on* ends the training after a check with this decision or a
    worse one. *resume_from* is the checkpoint that the training goes on from,
    if it was moved since it was saved. *injection* is recorded as
    part of the plan. *on_check* is called with each check, which is on record
    then, and the last loss that was observed.
    """

    def __init__(  # noqa: PLR0913 - what a user may say of a run, each by its name
        self,
        outdir: Path | str | None = None,
        *,
        preset: str | AnyPlan | None = None,
        data: Path | bytes | Mapping[str, Any] | None = None,
        key: Key | None = None,
        ledger: Path | str | None = None,
        block: str | None = None,
        stop_on: Literal["warn", "fail"] | None = None,
        resume_from: Path | str | None = None,
        injection: Mapping[str, Any] | None = None,
        on_check: Callable[[Check, float | None], None] | None = None,
        **overrides: Value,
    ) -> None:
        """Choose the gate; nothing is recorded before the training begins.

        Raises:
            MisuseError: There is no such preset or control.
        """
        if stop_on is not None and stop_on not in _STOPS:
            raise MisuseError(f"stop_on {stop_on!r}: expected {' or '.join(sorted(_STOPS))}")
        self._plan = plan_of(preset, overrides)
        self._place = {"outdir": outdir, "key": key, "ledger": ledger}
        self._data = data
        self._block = block
        self._stop_on = stop_on
        self._resume_from = None if resume_from is None else Path(resume_from)
        self._injection = injection
        self._on_check = on_check
        self._held: OpenRun | None = None
        self._watch: Watch | None = None
        self._world = world.NONE
        self._stopped: str | None = None
        self._warned = False
        self.run: GatedRun | None = None
        atexit.register(self.close, RuntimeError("the training did not come to its end"))

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **others: Any
    ) -> None:
        """Open the run, commit to its plan, and put the hooks in.

        Raises:
            MisuseError: The checkpoint that was resumed from is not the one on record.
            LedgerError: The run cannot be opened or recorded.
        """
        del control, others
        self.close(RuntimeError("another training was begun"))
        if args.n_gpu > 1:
            raise MisuseError(
                f"{args.n_gpu} devices in one process would train copies that no hook sees:"
                " start one process for each with torchrun, or set CUDA_VISIBLE_DEVICES"
            )
        self._world = world.find(args)
        self._stopped = None
        watch = Watch(model, self._block, timed=self._measuring)
        try:
            if self._world.rank == 0:
                self._open(args, state, watch=watch, model=model)
        except BaseException as error:
            watch.close()
            self.close(error)
            raise
        self._watch = watch

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Have the next forward measured, if the gate wants this iteration."""
        del args, control, others
        if self._watch is not None and self._wants(state.global_step):
            self._watch.arm()

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Record what the step showed, if the gate wants it, and check the gate if it is time.

        Raises:
            LedgerError: It could not be recorded.
        """
        del others
        if self._watch is None:
            return
        self._watch.step()
        with self._measuring():
            if self._wants(state.global_step - 1):
                self._observe(args, state.global_step - 1, self._watch)
        check = None if self.run is None else self.run.check(state.global_step)
        if check is not None and self.run is not None and self._on_check is not None:
            self._on_check(check, self.run.loss)
        if self._stop_on and state.global_step % self._plan.window == 0:
            self._stop(check, self._stop_on, control)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **others: Any) -> None:
        """Keep the loss that was logged, for a model that returns none."""
        del args, state, control, others
        if self._watch is not None and logs and "loss" in logs:
            self._watch.logged = float(logs["loss"])

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Record the digest of the checkpoint that was written.

        Raises:
            LedgerError: It could not be recorded.
        """
        del control, others
        if self._watch is None:
            return
        self._world.wait()  # each rank has written files of its own
        folder = Path(args.output_dir) / f"{_PREFIX}-{state.global_step}"
        if self.run is None or self._held is None:
            return
        if not folder.is_dir():
            warnings.warn(f"{folder} was not found: this save is not on record", stacklevel=2)
            return
        record_save(self.run, self._held.session, folder, iteration=state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Record the end.

        Raises:
            LedgerError: It could not be recorded.
        """
        del args, control, others
        if self.run is not None:
            stopped = self._stopped
            if stopped is None and state.global_step < state.max_steps:
                stopped = f"the training ended at {state.global_step} of {state.max_steps}"
            self.run.finish(state.global_step, self.run.loss, stopped=stopped)
        self.close()

    def close(self, error: BaseException | None = None) -> None:
        """Take the hooks out, and close the run if it is open; *error* is what ended it.

        Raises:
            LedgerError: The end could not be recorded, and there is no *error* to note it on.
        """
        watch, self._watch = self._watch, None
        held, self._held, self.run = self._held, None, None
        if watch is not None:
            watch.close()
        if held is None:
            return
        if error is None:
            held.close()
        else:
            close_after(held, error)

    def _open(self, args: Any, state: Any, *, watch: Watch, model: Any) -> None:
        if self._world.size > 1:
            reopen_key(os.environ)  # a launcher such as torchrun closed it on the way
        self._held = open_run(kind="hf", **self._place)  # type: ignore[arg-type]  # a dict of three
        session = self._held.session
        start = self._start(args, state)
        run = GatedRun(session, self._plan)
        run.planned(
            {
                "max_iters": state.max_steps,
                "seed": args.seed,
                "model": _model_data(args, model, block=watch.block),
                "data": data_source(self._data),
                "overrides": presets.departures(self._plan),
                "injection": None if self._injection is None else dict(self._injection),
                "distributed": self._world.as_data(),
            }
        )
        if start is not None:
            record_resume(run, start)
        state.stateful_callbacks[_STATE] = {
            "ledger": session.book.id,
            "run_id": session.run_id,
            "saved_in": str(Path(args.output_dir).absolute()),
        }
        self.run = run

    def _start(self, args: Any, state: Any) -> Start | None:
        """Return the checkpoint that the training goes on from, checked; ``None`` if it begins."""
        if state.global_step == 0 or self._held is None:
            return None
        said = state.stateful_callbacks.get(_STATE, {})
        folder = self._checkpoint(args, said, f"{_PREFIX}-{state.global_step}")
        start = find_start(self._held.session.book, folder)
        found = (said.get("run_id"), state.global_step)
        if found != (start.head.run_id, start.head.iter):
            raise MisuseError(
                f"{folder} is not what the Trainer loaded; expected run {found[0]} at"
                f" iteration {found[1]}, found run {start.head.run_id} at {start.head.iter}."
                " Say which checkpoint it is: LedgerCallback(resume_from=PATH)"
            )
        return start

    def _checkpoint(self, args: Any, said: Mapping[str, Any], name: str) -> Path:
        """Return where the checkpoint is that was loaded: a Trainer does not tell its callbacks."""
        if self._resume_from is not None:
            return self._resume_from
        given = getattr(args, "resume_from_checkpoint", None)
        if isinstance(given, str) and Path(given).is_dir():
            return Path(given)
        saved = Path(str(said.get("saved_in", args.output_dir))) / name
        return saved if saved.is_dir() else Path(args.output_dir) / name

    def _wants(self, iteration: int) -> bool:
        return iteration % self._plan.metric_interval == 0  # the same on every rank

    def _observe(self, args: Any, iteration: int, watch: Watch) -> None:
        if not (watch.has_loss or self._warned):
            self._warned = True
            warnings.warn(
                "the model returns no loss: what is recorded as loss is what the Trainer logs,"
                " every logging_steps",
                stacklevel=2,
            )
        shared = getattr(args, "average_tokens_across_devices", False)
        values = watch.take(ranks=self._world.size if shared else 1)
        values = self._world.mean(values)
        if self.run is not None:
            self.run.observe(iteration, values)

    def _stop(self, check: Check | None, limit: str, control: Any) -> None:
        """Stop on every rank if the first one's check says so."""
        if self._world.hear(check is not None and check.decision in _STOPS[limit]):
            control.should_training_stop = True
            if check is not None:
                self._stopped = f"the gate said {check.decision} at {check.iter}"

    def _measuring(self) -> AbstractContextManager[None]:
        return nullcontext() if self.run is None else self.run.measuring()


def _model_data(args: Any, model: Any, *, block: str) -> dict[str, int | float | str | bool]:
    from transformers import __version__

    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    smoothed = args.label_smoothing_factor != 0  # then the loss is not the model's own
    return {
        "architecture": type(model).__name__,
        "parameters": sum(size for size, _ in sizes),
        "trained": sum(size for size, trained in sizes if trained),
        "watched": block,
        "batch": args.per_device_train_batch_size,
        "accumulation": args.gradient_accumulation_steps,
        "optimizer": _text(args.optim),
        "lr": args.learning_rate,
        "lr_schedule": _text(args.lr_scheduler_type),
        "precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "fp32",
        "loss": "logged" if smoothed else "forward",
        "transformers": __version__,
    }


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))
