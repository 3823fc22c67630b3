"""A measured value as the integer that the gate computes with (gate.md section 1)."""

__all__ = ["quantum"]

_SCALE = float(1 << 20)
_BOUND = float(1 << 63)


def quantum(value: object) -> int | None:
    """Return *value* times 2^20, rounded to the nearest integer, ties to even.

    ``None`` stands for a value that does not count as finite. Scaling by a power of two is
    exact below the bound, so there is one rounding only.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None  # "NaN", "Infinity", "-Infinity"
    number = float(value)
    return round(number * _SCALE) if -_BOUND < number < _BOUND else None
