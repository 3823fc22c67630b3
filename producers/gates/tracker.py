"""A tracker for accelerate that records what a training logs, under the gate.

    accelerator = Accelerator(log_with=LedgerTracker("runs/a", max_iters=1000))
    accelerator.init_trackers("project", config={"lr": 1e-3})
    for step in range(1000):
        ...
        accelerator.log({"loss": loss}, step=step)
    accelerator.end_training()

*step* counts from 0. All logs of a step belong to it, so a window is checked when
the first log of a later one arrives, or at the end.
"""

import atexit
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.tracking import GeneralTracker

from ledger import Key, MisuseError
from producers.gates.controls import Value
from producers.gates.gate import AnyPlan
from producers.runs.inprocess import (
    OpenRun,
    RecordedRun,
    close_after,
    data_source,
    open_run,
    plan_of,
    planned_data,
)


class LedgerTracker(GeneralTracker):  # type: ignore[misc]  # accelerate is not type-checked
    """Records the run that an ``Accelerator`` logs, on the main process."""

    name = "evidence_ledger"
    requires_logging_directory = False
    main_process_only = True

    def __init__(  # noqa: PLR0913 - what a user may say of a run, each by its name
        self,
        outdir: Path | str | None = None,
        *,
        max_iters: int,
        preset: str | AnyPlan | None = None,
        seed: int = 0,
        data: Path | bytes | Mapping[str, Any] | None = None,
        key: Key | None = None,
        ledger: Path | str | None = None,
        **overrides: Value,
    ) -> None:
        """Choose the gate; all is as in ``record_run``. Nothing is recorded yet.

        Raises:
            MisuseError: There is no such preset or control.
        """
        super().__init__()
        self._plan = plan_of(preset, overrides)
        self._place = {"outdir": outdir, "key": key, "ledger": ledger}
        self._planned = planned_data(
            self._plan, max_iters=max_iters, seed=seed, data=data_source(data)
        )
        self._held: OpenRun | None = None
        self._run: RecordedRun | None = None
        self._left_out: set[str] = set()
        atexit.register(self._abandon)

    @property
    def tracker(self) -> RecordedRun | None:
        """The run; ``None`` before the first log and after the end."""
        return self._run

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Take the configuration into the plan, as far as it is plain values.

        Raises:
            MisuseError: The plan is on record already.
        """
        if self._run is not None:
            raise MisuseError("the plan is on record already: configure before the first log")
        plain = {k: v for k, v in values.items() if isinstance(v, int | float | str | bool)}
        self._planned["model"] = {**self._planned["model"], **plain}

    def log(self, values: dict[str, Any], step: int | None = None, **others: Any) -> None:
        """Record the numbers among *values* for *step*; without one, for the step after the last.

        Raises:
            MisuseError: The step comes before one that was logged.
            LedgerError: It could not be recorded.
        """
        del others
        run = self._begun()
        iteration = run.done if step is None else step
        numbers = {name: _number(value) for name, value in values.items()}
        self._warn_of(name for name, value in numbers.items() if value is None)
        shown = {name: value for name, value in numbers.items() if value is not None}
        run.advance(iteration)
        if shown:
            run.observe(iteration, shown, even_unused=True)

    def finish(self) -> None:
        """Record the end: ``Accelerator.end_training`` calls it.

        Raises:
            LedgerError: It could not be recorded.
        """
        run = self._begun()
        run.advance(run.done)
        run.finish(run.done, run.loss)
        held, self._held, self._run = self._held, None, None
        if held is not None:
            held.close()

    def _begun(self) -> RecordedRun:
        """Return the run, which is opened and planned when it is first needed."""
        if self._run is None:
            self._held = open_run(kind="accelerate", **self._place)  # type: ignore[arg-type]  # three
            self._run = RecordedRun(self._held.session, self._plan)
            self._run.planned(self._planned)
        return self._run

    def _warn_of(self, names: Any) -> None:
        new = sorted(set(names) - self._left_out)
        self._left_out.update(new)
        if new:
            text = f"{', '.join(new)}: only numbers are recorded"
            warnings.warn(text, stacklevel=4)

    def _abandon(self) -> None:
        held, self._held, self._run = self._held, None, None
        if held is not None:
            close_after(held, RuntimeError("the training did not come to its end"))


def _number(value: Any) -> float | None:
    """Return a number, or the one number that a tensor or an array holds."""
    if isinstance(value, str):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        return None
