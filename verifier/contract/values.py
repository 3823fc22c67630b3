"""Read JSON values as the run contract types them, and say where one does not fit.

The wording and the places follow what validators of the contract print, so that
one text can be searched for: ``Field required at ('gates', 0, 'iter')``.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

__all__ = ["Members", "Moment", "Place", "SchemaError", "moment_of"]

Place = tuple[str | int, ...]
T = TypeVar("T")

_HEX64 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt _](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,9}))?"
    r"\s?(?:([Zz])|([+-]\d\d):?(\d\d))?)?",
    re.ASCII,
)
_SECONDS_AT_MOST = 20_000_000_000  # a number beyond this counts milliseconds, as pydantic reads it


class SchemaError(Exception):
    """A value that the contract does not allow, and its place in the document."""

    def __init__(self, message: str, place: Place = ()) -> None:
        """Keep the words and the place apart: callers print them in one order."""
        super().__init__(f"{message} at {place!r}" if place else message)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time of a document. *aware* tells whether it names its zone; ``when`` is in UTC."""

    when: datetime
    aware: bool

    def __str__(self) -> str:
        """Return it in ISO 8601; ``Z`` only where the document names a zone."""
        text = self.when.replace(tzinfo=None).isoformat()
        return f"{text}Z" if self.aware else text


def moment_of(value: object, place: Place = ()) -> Moment:
    """Return the time that a JSON value is: ISO 8601, or seconds since 1970.

    Raises:
        SchemaError: It is none.
    """
    try:
        if isinstance(value, str):
            return _from_text(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if abs(value) > _SECONDS_AT_MOST else value
            return Moment(datetime.fromtimestamp(seconds, UTC), aware=True)
    except (ValueError, OverflowError, OSError) as error:
        raise SchemaError("Input should be a valid datetime", place) from error
    raise SchemaError("Input should be a valid datetime", place)


def _from_text(text: str) -> Moment:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(text)
    day, minute, second, fraction, zulu, hours, minutes = found.groups()
    clock = f"{minute or '00:00'}{second or ':00'}.{(fraction or '0')[:6].ljust(6, '0')}"
    when = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
    if hours is not None:
        sign = -1 if hours.startswith("-") else 1
        when -= sign * timedelta(hours=int(hours[1:]), minutes=int(minutes))
    return Moment(when, aware=zulu is not None or hours is not None)


@dataclass(frozen=True, slots=True)
class Members:
    """The members of one JSON object, read one by one; others may stand beside them."""

    values: Mapping[str, Any]
    place: Place

    @classmethod
    def of(cls, value: object, place: Place = ()) -> "Members":
        """Take *value* as an object.

        Raises:
            SchemaError: It is none.
        """
        if not isinstance(value, dict):
            raise SchemaError("Input should be an object", place)
        return cls(value, place)

    def at(self, name: str) -> Place:
        """Return the place of a member."""
        return (*self.place, name)

    def fail(self, name: str, message: str) -> SchemaError:
        """Return the error of a member, to be raised."""
        return SchemaError(message, self.at(name))

    def get(self, name: str) -> Any:
        """Return a member that must be there."""
        if name not in self.values:
            raise self.fail(name, "Field required")
        return self.values[name]

    def maybe(self, read: Callable[[str], T], name: str) -> T | None:
        """Read a member that may be missing or ``null``."""
        return None if self.values.get(name) is None else read(name)

    def text(self, name: str) -> str:
        """Read a string of one character or more."""
        value = self.get(name)
        if not isinstance(value, str):
            raise self.fail(name, "Input should be a valid string")
        if not value:
            raise self.fail(name, "String should have at least 1 character")
        return value

    def string(self, name: str) -> str:
        """Read a string that may be empty."""
        value = self.get(name)
        if not isinstance(value, str):
            raise self.fail(name, "Input should be a valid string")
        return value

    def hex64(self, name: str) -> str:
        """Read a SHA-256 in hex of either case; it is returned in lowercase."""
        value = self.string(name)
        if not _HEX64.fullmatch(value):
            raise self.fail(name, "String should match pattern '^[a-fA-F0-9]{64}$'")
        return value.lower()

    def count(self, name: str) -> int:
        """Read an integer of 0 or more; neither ``true`` nor 80.0 is one."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fail(name, "Input should be a valid integer")
        if value < 0:
            raise self.fail(name, "Input should be greater than or equal to 0")
        return value

    def exit_code(self, name: str) -> int:
        """Read an integer from 0 to 255."""
        value = self.count(name)
        if value > 0xFF:  # noqa: PLR2004 - the largest exit code
            raise self.fail(name, "Input should be less than or equal to 255")
        return value

    def number(self, name: str) -> float:
        """Read a finite number of 0 or more, as a float."""
        return number_of(self.get(name), self.at(name))

    def boolean(self, name: str) -> bool:
        """Read ``true`` or ``false``; 1 and 0 will do."""
        value = self.get(name)
        if value in (True, False) and isinstance(value, int):
            return bool(value)
        raise self.fail(name, "Input should be a valid boolean")

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """Read one of a few words."""
        value = self.get(name)
        if isinstance(value, str) and value in choices:
            return value
        words = ", ".join(f"'{choice}'" for choice in choices[:-1])
        raise self.fail(name, f"Input should be {words} or '{choices[-1]}'")

    def moment(self, name: str) -> Moment:
        """Read a time."""
        return moment_of(self.get(name), self.at(name))

    def inner(self, name: str) -> "Members":
        """Read a member that is an object itself."""
        return Members.of(self.get(name), self.at(name))

    def items(self, name: str) -> list[Any]:
        """Read an array; a missing one is empty."""
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise self.fail(name, "Input should be a valid array")
        return value

    def version(self) -> int:
        """Read ``schema_version``: 1, which is also what a missing one means."""
        value = self.values.get("schema_version", 1)
        if isinstance(value, bool) or not isinstance(value, int) or value != 1:
            raise self.fail("schema_version", "Input should be 1")
        return value


def number_of(value: object, place: Place) -> float:
    """Return a finite number of 0 or more as a float.

    Raises:
        SchemaError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SchemaError("Input should be a valid number", place)
    try:
        number = float(value)
    except OverflowError as error:
        raise SchemaError("Input should be a finite number", place) from error
    if not math.isfinite(number):
        raise SchemaError("Input should be a finite number", place)
    if number < 0:
        raise SchemaError("Input should be greater than or equal to 0", place)
    return number
