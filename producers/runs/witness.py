"""What the wrapper writes into the ledger about a run, in its order.

The runner's key is authorised, ``run.opened`` recorded; then the runner tells its
own story; then its key is revoked, ``run.closed`` recorded, the projected files
are written, and every file of the run directory becomes an ``artifact.recorded``.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from ledger import Event, Key, Ledger, LedgerError, MisuseError, StoreError
from producers.runs.child import Ending
from producers.runs.environment import Provenance
from producers.runs.files import FileFact, take_stock, write_atomically

Finalize = Callable[[Ledger, Path], Mapping[str, bytes]]
"""Makes the projected files, by their path in the run directory, from the closed ledger."""

_BATCH = 1000
_ATTEMPTS = 5
_LEFT_OUT = (
    ": not on record, and a verifier will ask why: neither a file nor a link,"
    " or a control character in its name or target"
)
_PLANTED = (
    ": the runner wrote it, under a name that is ours; the events give no such file, and a"
    " verifier will refute it"
)
_PROJECTIONS = {
    "calibration.csv": "calibration",
    "calibration.meta.json": "calibration",
    "first_fail_iter.txt": "summary",
    "governance_log.jsonl": "governance",
    "manual_judgement.json": "judgement",
    "manual_judgement.jsonl": "judgement",
    "report.md": "report",
    "report.txt": "report",
    "results.json": "results",
    "results_summary.json": "summary",
    "run_config_resolved.json": "run_config",
    "timeline.txt": "timeline",
    "window_signature.json": "window_signature",
}


class Witness:
    """The wrapper's pen: one ledger, one run."""

    def __init__(self, book: Ledger, run_id: str, outdir: Path) -> None:
        """Record nothing yet."""
        self._book = book
        self._run_id = run_id
        self._outdir = outdir

    def open(self, kind: str, provenance: Provenance, *, gate_preset: str | None = None) -> Key:
        """Authorise a new key for the runner, record the start, and return the key.

        Raises:
            KeyRefusedError: Our key may not authorise others, or not open runs.
            StoreError: The disk refused.
        """
        key = Key.generate(f"runner-{self._run_id}")
        self._book.authorize(key.public, name=key.name, roles=["runner"])
        try:
            opened = provenance.opened(
                kind=kind, outdir=self._outdir, runner_key=key.id, gate_preset=gate_preset
            )
            self._record("run.opened", opened)
        except BaseException:
            with suppress(LedgerError):  # the first fault is the one to tell of
                self.revoke(key)
            raise
        return key

    def revoke(self, key: Key) -> None:
        """Take the runner's key out, so that no descendant of it writes on.

        Raises:
            StoreError: The disk refused.
        """
        self._book.revoke(key.id, reason="run closed")

    def begin(self, opening: Finalize | None) -> None:
        """Write the files of a run that has only begun, in case that nothing comes after.

        Raises:
            StoreError: The disk refused.
        """
        if opening is not None:
            self._write(opening(self._book, self._outdir))

    def close(
        self, status: str, ending: Ending, *, wall_s: float, reason: str | None = None
    ) -> None:
        """Record how the runner ended; *reason* is why we ended it, or did not start it.

        Raises:
            StoreError: The disk refused.
        """
        self._record(
            "run.closed",
            {
                "status": status,
                "exit_code": ending.exit_code,
                "signal": ending.signal,
                "wall_s": wall_s,
                "reason": reason,
            },
        )

    def finish(self, finalize: Finalize | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Write the projected files and record every file; return their paths, and notes.

        The files are recorded also when *finalize* raised, which is then raised.

        Raises:
            StoreError: The disk refused.
        """
        projected: dict[str, int] = {}
        try:
            if finalize is not None:
                projected = self._project(finalize)
        finally:
            facts, left_out = take_stock(self._outdir, self._book.path)
            self._record_artifacts(facts, projected)
        notes = [f"{name}{_LEFT_OUT}" for name in left_out]
        if finalize is not None:
            planted = [f.path for f in facts if f.path in _PROJECTIONS and f.path not in projected]
            notes += [f"{name}{_PLANTED}" for name in planted]
        return tuple(fact.path for fact in facts), tuple(notes)

    def _project(self, finalize: Finalize) -> dict[str, int]:
        at, files = self._snapshot(finalize)
        self._write(files)
        return dict.fromkeys(files, at)

    def _write(self, files: Mapping[str, bytes]) -> None:
        """Write the files; one that cannot be written costs no other, and is raised in the end."""
        problems = []
        for name, content in files.items():
            relative = PurePosixPath(name)
            if relative.is_absolute() or ".." in relative.parts:
                raise MisuseError(f"{name!r} is not a path inside the run directory")
            path = self._outdir / relative
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content)
            except (OSError, StoreError) as error:
                problems.append(error)
        if problems:
            raise problems[0]

    def _snapshot(self, finalize: Finalize) -> tuple[int, Mapping[str, bytes]]:
        # A projection says of how many entries it is one. If others write into the same
        # ledger meanwhile, what it saw is not known, and it is made again.
        for _ in range(_ATTEMPTS):
            at = self._book.refresh().size
            files = finalize(self._book, self._outdir)
            if self._book.refresh().size == at:
                return at, files
        with self._book.locked():
            return self._book.size, finalize(self._book, self._outdir)

    def _record_artifacts(self, facts: Sequence[FileFact], projected: Mapping[str, int]) -> None:
        folder = self._folder()
        events = [
            self._event(
                "artifact.recorded",
                {
                    "path": f"{folder}{fact.path}",
                    "sha256": fact.sha256,
                    "bytes": fact.bytes,
                    "media_type": fact.media_type,
                    "projection": _projection_of(fact.path) if fact.path in projected else None,
                    "at": projected.get(fact.path),
                },
            )
            for fact in facts
        ]
        for start in range(0, len(events), _BATCH):
            self._book.append_batch(events[start : start + _BATCH])

    def _folder(self) -> str:
        """Return where the run's directory is, seen from the ledger's: paths begin there."""
        ledger, outdir = self._book.path.parent.resolve(), self._outdir.resolve()
        if ledger == outdir or not outdir.is_relative_to(ledger):
            return ""
        return f"{outdir.relative_to(ledger).as_posix()}/"

    def _record(self, event_type: str, data: dict[str, Any]) -> None:
        self._book.append(self._event(event_type, data))

    def _event(self, event_type: str, data: dict[str, Any]) -> Event:
        return Event(event_type, f"run/{self._run_id}", data)


def _projection_of(path: str) -> str:
    name = PurePosixPath(path)
    return _PROJECTIONS.get(name.name, name.stem)
