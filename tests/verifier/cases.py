"""Ledgers made against the page, each with the exact set of findings that the page gives it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.verifier.builder import Builder, codes, read

Expected = list[tuple[str, int | None]]
Make = Callable[[Builder], None]


class Cases:
    """A table of functions that go on from a good genesis, and what must be found then."""

    def __init__(self) -> None:
        self._cases: list[tuple[Make, Expected]] = []

    def add(self, *expected: tuple[str, int | None]) -> Callable[[Make], None]:
        def register(make: Make) -> None:
            self._cases.append((make, sorted(set(expected))))

        return register

    def parametrize(self, test: Callable[..., None]) -> Any:
        ids = [make.__name__ for make, _ in self._cases]
        return pytest.mark.parametrize(("make", "expected"), self._cases, ids=ids)(test)


def findings_of(make: Make, folder: Path) -> Expected:
    builder = Builder()
    make(builder)
    return codes(read(builder.write(folder / "l.jsonl"))[1])
