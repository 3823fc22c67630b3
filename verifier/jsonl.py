"""A ledger in one JSONL file: its bytes, opened once and read as far as they went then."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from verifier.chain import Piece
from verifier.lines import Blanks, could_be_torn, frame, read

__all__ = ["JsonlFile"]


class JsonlFile:
    """An open JSONL file; what is appended while it is read does not count."""

    def __init__(self, path: Path | int) -> None:
        """Open the file, or share the descriptor that it is open at.

        Raises:
            OSError: It cannot be opened.
        """
        if isinstance(path, int):
            self.descriptor = os.dup(path)
        else:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.lseek(self.descriptor, 0, os.SEEK_END)

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        os.close(self.descriptor)

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[Piece | Blanks]:
        """Yield the lines between two offsets, taken apart."""
        for item in read(self.descriptor, start, self.size if stop is None else stop):
            if isinstance(item, Blanks):
                yield item
            else:
                torn = not item.terminated and could_be_torn(item.bytes)
                yield Piece(frame(item.bytes), terminated=item.terminated, torn=torn)
