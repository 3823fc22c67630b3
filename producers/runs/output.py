"""Pass the runner's output on as it comes, and keep a copy in a file.

Bytes are passed on unread and unbuffered. The copy is the same bytes with
known secrets masked. A reader of ours that went away (``ledger run … | head``)
ends the passing on, never the run nor the copy.
"""

import os
import selectors
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self

from producers.runs.streammask import StreamMask

_CHUNK = 1 << 16
_PIPE_BYTES = 1 << 20  # the most that a pipe holds (Linux, without privileges; 64 KiB by default)
_JOIN_S = 4.0  # for the last of it to be passed on


class Tee:
    """A thread that copies from pipes to descriptors and to one file until told to stop."""

    def __init__(self, routes: Mapping[int, int], copy: BinaryIO, secrets: Iterable[str]) -> None:
        """Copy from each key of *routes*, a pipe's read end, to its value, a descriptor.

        The pipes and the file, which must be unbuffered, are ours to close from here on.
        """
        self.problem: str | None = None
        self._routes = dict(routes)
        self._file = copy
        self._masks = {source: StreamMask(secrets) for source in routes}
        self._lock = threading.Lock()  # no byte enters the copy once it is closed
        self._stop = threading.Event()
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._copy, name="runner output", daemon=True)
        for source in routes:
            os.set_blocking(source, False)

    def __enter__(self) -> Self:
        """Start copying."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take what is in the pipes, then close the copy.

        What the runner wrote before its end is in the pipes by now; a
        descendant that keeps them open is not waited for.
        """
        self._stop.set()
        os.write(self._waker, b"\0")
        self._thread.join(_JOIN_S)
        for mask in self._masks.values():
            self._keep(mask.finish())
        with self._lock:
            with suppress(OSError):  # its digest goes on record: it should survive a power cut
                os.fsync(self._file.fileno())
            self._file.close()
        if not self._thread.is_alive():  # else it hangs on our own output; it ends with us
            for descriptor in (*self._masks, self._wake, self._waker):
                os.close(descriptor)

    def _copy(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            for source in self._masks:
                selector.register(source, selectors.EVENT_READ)
            while not self._stop.is_set() and len(selector.get_map()) > 1:
                for key, _ in selector.select():
                    if key.fd != self._wake and self._pass_on(key.fd) == b"":
                        selector.unregister(key.fd)
        # What the ended runner wrote is in the pipes, and there is no more than fits into
        # one; a descendant that never stops writing is not listened to for ever.
        for source in self._masks:
            left = _PIPE_BYTES
            while left > 0 and (chunk := self._pass_on(source)):
                left -= len(chunk)

    def _pass_on(self, source: int) -> bytes | None:
        """Copy one chunk; return it, ``b""`` at the end and ``None`` when there is none yet."""
        try:
            chunk = os.read(source, _CHUNK)
        except BlockingIOError:
            return None
        self._keep(self._masks[source].feed(chunk))
        target = self._routes.get(source)
        if target is not None and chunk:
            try:
                _write_all(target, chunk)
            except OSError:  # nobody reads us any more
                del self._routes[source]
        return chunk

    def _keep(self, data: bytes) -> None:
        with self._lock:
            if self.problem is None and not self._file.closed:
                try:
                    _write_all(self._file.fileno(), data)
                except OSError as error:  # a full disk must not stop the run's output, nor the run
                    self.problem = f"{self._file.name}: {error.strerror}; the copy is not complete"


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
