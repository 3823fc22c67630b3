"""A fault that a run is told to inflict on itself, to show that the gate sees it.

The form is ``KIND@ITER[:LEN[:AMOUNT]]``; an empty LEN means "to the end".

=========  ==========================================================  ==============
kind       what happens, from iteration ITER on, for LEN iterations     AMOUNT
=========  ==========================================================  ==============
random     input tokens are replaced by random ones                     fraction, 1
permute    in every sequence, chosen input positions change places      fraction, 0.15
mask       in every sequence, chosen input positions become byte 0      fraction, 0.3
labels     chosen targets of the batch change places                    fraction, 1
drift      as random, by a fraction that grows evenly to AMOUNT         fraction, 1
lr         the learning rate is multiplied                              factor, 30
collapse   after a middle block, hidden states keep one direction       none
stuck      the batch of iteration ITER comes again and again            none
=========  ==========================================================  ==============

Only ``labels`` changes targets. A dose that changes nothing is refused.

>>> Corruption.parse("random@240:40:0.5")
Corruption(start=240, length=40, amount=0.5, kind='random')
>>> str(Corruption.parse("lr@2000::30"))
'lr@2000'
"""

import re
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, cast, get_args

from ledger import MisuseError

Kind = Literal["random", "permute", "mask", "labels", "drift", "lr", "collapse", "stuck"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FRACTIONS: dict[Kind, float] = {
    "random": 1.0,
    "permute": 0.15,
    "mask": 0.3,
    "labels": 1.0,
    "drift": 1.0,
}
"""The kinds whose amount is a fraction, and the fraction if none is given."""
DEFAULT_FACTOR = 30.0

_FORM = re.compile(r"([a-z]+)@([0-9]{1,9})(?::([0-9]{0,9})(?::([0-9]+(?:\.[0-9]+)?))?)?", re.ASCII)
_FEWEST_TO_PERMUTE = 2


@dataclass(frozen=True, slots=True)
class Corruption:
    """From iteration *start* on, for *length* iterations (or to the end), a fault of one *kind*.

    *amount* is the fraction or the factor; ``None`` stands for the kind's default,
    and for nothing where the kind has no amount.
    """

    start: int
    length: int | None = None
    amount: float | None = None
    _: KW_ONLY
    kind: Kind = "random"

    def __post_init__(self) -> None:
        """Put the default amount in, and refuse a fault that would do nothing.

        Raises:
            MisuseError: The kind is unknown, or its length or amount is out of range.
        """
        if self.kind not in KINDS:
            raise MisuseError(f"corruption {self.kind!r} is not one of {', '.join(KINDS)}")
        if self.start < 0 or self.length == 0:
            raise MisuseError(f"{self.kind}: the length must be above 0")
        if self.kind == "drift" and self.length is None:
            raise MisuseError("drift: say over how many iterations it grows: drift@ITER:LEN")
        if self.amount is None:
            default = DEFAULT_FACTOR if self.kind == "lr" else FRACTIONS.get(self.kind)
            object.__setattr__(self, "amount", default)
        else:
            self._check_amount(self.amount)

    def _check_amount(self, amount: float) -> None:
        if self.kind in FRACTIONS and not 0 < amount <= 1:
            raise MisuseError(f"{self.kind}: a corruption needs a fraction in (0, 1]")
        if self.kind == "lr" and not (0 <= amount < float("inf") and amount != 1):
            raise MisuseError("lr: the factor must not be 1, which changes nothing, nor negative")
        if self.kind not in FRACTIONS and self.kind != "lr":
            raise MisuseError(f"{self.kind} has no amount")

    @classmethod
    def parse(cls, text: str) -> "Corruption":
        """Read ``KIND@ITER[:LEN[:AMOUNT]]``.

        Raises:
            MisuseError: It has another form, or its dose is out of range.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise MisuseError(
                f"{text!r}: expected KIND@ITER[:LEN[:AMOUNT]] with a kind of {', '.join(KINDS)}"
            )
        kind, start, length, amount = match.groups()
        return cls(
            int(start),
            int(length) if length else None,
            None if amount is None else float(amount),
            kind=cast("Kind", kind),  # the constructor refuses any other
        )

    def __str__(self) -> str:
        """Return a form that ``parse`` reads."""
        default = DEFAULT_FACTOR if self.kind == "lr" else FRACTIONS.get(self.kind)
        parts = [f"{self.kind}@{self.start}", "" if self.length is None else str(self.length)]
        if self.amount != default:
            parts.append(str(self.amount))
        return ":".join(parts).rstrip(":")

    @property
    def fraction(self) -> float | None:
        """Which share of the tokens or targets is touched, if the kind has one."""
        return self.amount if self.kind in FRACTIONS else None

    @property
    def factor(self) -> float | None:
        """What the learning rate is multiplied by, if that is the fault."""
        return self.amount if self.kind == "lr" else None

    def covers(self, iteration: int) -> bool:
        """Tell whether this iteration is corrupted."""
        end = float("inf") if self.length is None else self.start + self.length
        return self.start <= iteration < end

    def share(self, iteration: int) -> float:
        """Return the fraction of a covered iteration: ``drift`` grows evenly to its amount."""
        whole = self.fraction or 0.0
        if self.kind != "drift" or self.length is None:
            return whole
        return whole * (iteration - self.start + 1) / self.length

    def positions(self, iteration: int, block: int) -> int:
        """Return how many of *block* positions are chosen in each sequence."""
        return round(self.share(iteration) * block)

    def check_dose(self, *, batch: int, block: int) -> None:
        """Refuse a dose too small to change anything in a batch of *batch* x *block* tokens.

        Raises:
            MisuseError: Fewer than two positions would change places, or no token be touched.
        """
        if self.kind == "permute":
            moved, fewest = self.positions(self.start, block), _FEWEST_TO_PERMUTE
        elif self.kind == "labels":
            moved, fewest = self.positions(self.start, batch * block), _FEWEST_TO_PERMUTE
        elif self.kind == "mask":
            moved, fewest = self.positions(self.start, block), 1
        elif self.kind in FRACTIONS:
            moved, fewest = int((self.fraction or 0.0) * batch * block), 1
        else:
            return
        if moved < fewest:
            raise MisuseError(
                f"{self}: the dose changes nothing: it touches {moved} of the positions of a"
                f" step of {batch} x {block} tokens, and at least {fewest} are needed"
            )

    def as_data(self) -> dict[str, Any]:
        """Return the ``injection`` member of ``run.planned``."""
        return {
            "kind": self.kind,
            "at": self.start,
            "length": self.length,
            "fraction": self.fraction,
            "factor": self.factor,
        }
