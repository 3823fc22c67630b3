"""Mask secrets in a stream of bytes, line by line.

Known secrets are masked wherever they stand, also where one is cut between two
chunks; what a line itself calls a secret (``token=…``) is masked as well. Bytes that
are no secret come out as they went in, in whatever encoding.
"""

import re
from collections.abc import Iterable

from producers.runs.redact import MASK, long_enough, redact_text

_LONGEST_LINE = 1 << 16  # what is longer is passed on in pieces
_LINE_END = re.compile(rb"[\r\n]")
# Without one of these in lower case no rule for free text can apply. Looking for plain words is
# fast: a runner that prints a lot must not wait for us.
_SPOKEN = ("passw", "passphrase", "secret", "credential", "authorization", "token", "key")
_FORMS = ("bearer", "basic", "://", "eyj", "akia", "asia", "aiza", "-----begin")
_PREFIXES = ("hf", "ghp", "gho", "ghs", "ghu", "github_pat", "glpat", "npm", "sk", "pk", "rk")
_BEGINNINGS = ("xox", *(f"{prefix}{sign}" for prefix in _PREFIXES for sign in "_-"))
_SUSPECT = tuple(word.encode() for word in (*_SPOKEN, *_FORMS, *_BEGINNINGS))
# Of the words, only what stands before a value: "tokens/s 120" and "KeyError" are everyday.
_SPEAKS = re.compile(
    rb"(?:passw(?:or)?ds?|passphrase|secret|credentials?|authorization|token|key)[\"']?[\s=:]"
)
_OTHERS = tuple(word.encode() for word in (*_FORMS, *_BEGINNINGS))


class StreamMask:
    """Mask secrets in a stream; the end of it is held back until its line is whole."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Keep the secrets as bytes."""
        words = [s.encode("utf-8", "surrogateescape") for s in long_enough(secrets)]
        self._pattern = re.compile(b"|".join(re.escape(w) for w in words)) if words else None
        self._overlap = max((len(w) for w in words), default=1) - 1
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return the lines that are whole by now."""
        data = self._held + chunk
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if len(data) - end <= _LONGEST_LINE:
            self._held = data[end:]
            return self._clean(data[:end])
        # A line that does not end. What is masked cannot be told apart from what was said
        # so: the words first, then all but the beginning of a possible word is passed on.
        data = self._without_words(data)
        cut = len(data) - self._overlap
        self._held = data[cut:]
        return self._clean(data[:cut])

    def finish(self) -> bytes:
        """Return the rest."""
        data, self._held = self._held, b""
        return self._clean(data)

    def _clean(self, data: bytes) -> bytes:
        data = self._without_words(data)
        lowered = data.lower()
        if not any(word in lowered for word in _SUSPECT):
            return data
        parts = []
        place = 0
        while place < len(data):
            found = _LINE_END.search(data, place)
            end = len(data) if found is None else found.end()
            parts.append(_without_spoken(data[place:end]))
            place = end
        return b"".join(parts)

    def _without_words(self, data: bytes) -> bytes:
        return data if self._pattern is None else self._pattern.sub(MASK.encode(), data)


def _without_spoken(line: bytes) -> bytes:
    lowered = line.lower()
    if _SPEAKS.search(lowered) is None and not any(word in lowered for word in _OTHERS):
        return line
    # Latin-1 maps every byte to one character and back, whatever the encoding really is.
    return redact_text(line.decode("latin-1")).encode("latin-1")
