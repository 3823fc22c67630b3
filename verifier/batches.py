"""Runs of unsigned entries, up to the signed one that vouches for them (format.md section 4)."""

from dataclasses import dataclass, field

__all__ = ["KEPT", "MAX_RUN", "Run"]

MAX_RUN = 65_536  # the signed entry counted
KEPT = 1_000  # of the unvouched seqs that are shown


@dataclass(slots=True)
class Run:
    """The unsigned entries since the last signed one."""

    size: int = 0
    key: str = ""
    mixed: bool = False
    last_seq: int = 0
    last_line: int = 0
    _seqs: list[int] = field(default_factory=list)
    _unvouched: int = 0  # so many of the first have an error behind them

    def add(self, seqs: range, *, key: str, line: int) -> None:
        """Take unsigned entries of one key, the last of which stands at *line*."""
        if self.size and key != self.key:
            self.mixed = True
        self.key = key
        self.size += len(seqs)
        self.last_seq, self.last_line = seqs[-1], line
        self._seqs.extend(seqs[: KEPT - len(self._seqs)])

    def faults(self, key: str) -> list[str]:
        """Return the codes to report at a signed entry of *key* that closes the run."""
        codes = []
        if self.size and (self.mixed or key != self.key):
            codes.append("batch.keys")
        if self.size >= MAX_RUN:
            codes.append("batch.long")
        return codes

    def break_off(self) -> None:
        """Note an error: what is in the run is not vouched for any more."""
        self._unvouched = self.size

    def close(self) -> list[int]:
        """End the run and return the seqs that are unvouched, the first thousand of them."""
        unvouched = self._seqs[: self._unvouched]
        self.size, self.mixed, self._unvouched = 0, False, 0
        self._seqs = []
        return unvouched
