"""A fault that a run is told to inflict on its own input, to show that the gate sees it.

>>> Corruption.parse("random@240:40:0.5")
Corruption(start=240, length=40, fraction=0.5)
>>> str(Corruption.parse("random@240"))
'random@240'
"""

import re
from dataclasses import dataclass

from ledger import MisuseError

_FORM = re.compile(r"random@([0-9]{1,9})(?::([0-9]{1,9})(?::([0-9]+(?:\.[0-9]+)?))?)?", re.ASCII)

KIND = "random"


@dataclass(frozen=True, slots=True)
class Corruption:
    """From iteration *start* on, for *length* iterations (or to the end), replace a
    *fraction* of the input tokens by random ones; the targets stay.
    """

    start: int
    length: int | None = None
    fraction: float = 1.0

    def __post_init__(self) -> None:
        """Refuse a fault that would do nothing.

        Raises:
            MisuseError: The length or the fraction is zero, or the fraction above 1.
        """
        if self.length == 0 or not 0 < self.fraction <= 1:
            raise MisuseError("a corruption needs a length above 0 and a fraction in (0, 1]")

    @classmethod
    def parse(cls, text: str) -> "Corruption":
        """Read ``random@ITER[:LEN[:FRACTION]]``.

        Raises:
            MisuseError: It has another form.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise MisuseError(f"{text!r}: expected random@ITER[:LEN[:FRACTION]]")
        start, length, fraction = match.groups()
        return cls(int(start), int(length) if length else None, float(fraction or 1))

    def __str__(self) -> str:
        """Return the form that ``parse`` reads."""
        text = f"{KIND}@{self.start}"
        if self.length is not None:
            text += f":{self.length}"
            if self.fraction != 1:
                text += f":{self.fraction}"
        return text

    def covers(self, iteration: int) -> bool:
        """Tell whether the input of this iteration is corrupted."""
        end = float("inf") if self.length is None else self.start + self.length
        return self.start <= iteration < end
