"""Read the files of a capsule, once, with bounds, and hash as the contract hashes.

The files are hostile. Each is opened once through ``verifier.beneath`` (no symbolic
link, no device, no FIFO), up to a limit; all that follows works on these bytes. JSON is
read strictly: UTF-8, no name twice in one object, no ``NaN``, no number that no
binary64 holds, no lone surrogate.

>>> window_hash({"created_ts_utc": "2026-01-15T10:00:00Z"}) == window_hash({})
True
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from verifier.beneath import RefusedError, opened_root, read

__all__ = ["Capsule", "NotJsonError", "canonical", "parse", "read_capsule", "window_hash"]

SIGNATURE = "window_signature.json"
RESULTS = "results.json"
SUMMARY = "results_summary.json"
MARKER = "first_fail_iter.txt"
LOG = "governance_log.jsonl"
CONFIG = "run_config_resolved.json"
JUDGEMENT = "manual_judgement.json"
JUDGEMENTS = "manual_judgement.jsonl"

_MIB = 1 << 20
# A check takes some 5 KB in each of two files, a measured value some 60 bytes.
LIMITS: Mapping[str, int] = {
    SIGNATURE: 4 * _MIB,
    RESULTS: 256 * _MIB,
    SUMMARY: 4 * _MIB,
    MARKER: 4096,
    LOG: 256 * _MIB,
    CONFIG: 16 * _MIB,
    JUDGEMENT: _MIB,
    JUDGEMENTS: 16 * _MIB,
}
_LONGEST_INTEGER = 400  # digits: more than any binary64 has; turning text into int is quadratic


class NotJsonError(Exception):
    """Bytes that are not strict JSON."""


@dataclass(frozen=True, slots=True)
class Capsule:
    """The files of a capsule: the bytes of those that are there, and why one cannot be read."""

    outdir: str
    resolved: str
    files: Mapping[str, bytes]
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Tell whether there is something of that name, readable or not."""
        return name in self.files or name in self.unreadable


def read_capsule(outdir: Path) -> Capsule:
    """Read what lies in *outdir* under the contract's names; nothing else is opened."""
    files: dict[str, bytes] = {}
    unreadable: dict[str, str] = {}
    try:
        with opened_root(outdir) as root:
            for name, limit in LIMITS.items():
                try:
                    content = read(root, name, limit)
                except FileNotFoundError:
                    continue
                except (RefusedError, OSError) as error:
                    unreadable[name] = _why(error)
                    continue
                if content.data is None:
                    unreadable[name] = f"is larger than {limit} bytes"
                else:
                    files[name] = content.data
    except (FileNotFoundError, NotADirectoryError, ValueError):
        pass  # no such directory: no file is there
    except OSError as error:
        unreadable = dict.fromkeys(LIMITS, _why(error))
    return Capsule(str(outdir), _resolved(str(outdir)), files, unreadable)


def parse(data: bytes) -> Any:
    """Return the JSON value that *data* is.

    Raises:
        NotJsonError: It is not strict JSON.
    """
    try:
        text = data.decode()
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_finite,
        )
        if "\\u" in text:  # only an escape can make half a character
            canonical(value)
    except UnicodeDecodeError as error:
        raise NotJsonError(f"not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise NotJsonError(f"{error.msg} (line {error.lineno}, col {error.colno})") from error
    except RecursionError as error:
        raise NotJsonError("nested too deep") from error
    except UnicodeEncodeError as error:
        raise NotJsonError("half a character: a lone surrogate") from error
    return value


def canonical(value: object) -> bytes:
    """Return the canonical JSON of the contract (seed section 4B).

    Raises:
        UnicodeEncodeError: A string holds a lone surrogate.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def digest(value: object) -> str:
    """Return the SHA-256, in hex, of the canonical JSON of *value*."""
    return hashlib.sha256(canonical(value)).hexdigest()


def window_hash(signature: Mapping[str, Any]) -> str:
    """Return the hash of a window signature, which leaves out when it was made.

    Raises:
        ValueError: ``created_ts_utc`` is there and is no time in UTC that ends in ``Z``.
    """
    if "created_ts_utc" in signature:
        made = signature["created_ts_utc"]
        if not isinstance(made, str) or not _is_zulu(made):
            raise ValueError(
                "window_signature.created_ts_utc must be an ISO 8601 time that ends in Z,"
                f" found {made!r:.120}"
            )
    return digest({name: value for name, value in signature.items() if name != "created_ts_utc"})


def _is_zulu(text: str) -> bool:
    if not text.endswith("Z"):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _resolved(path: str) -> str:
    try:
        return str(Path(path).expanduser().resolve())
    except (OSError, RuntimeError, ValueError):
        return path


def same_place(capsule: Capsule, said: str) -> bool:
    """Tell whether *said* names the directory of *capsule*, literally or once resolved."""
    return said == capsule.outdir or _resolved(said) == capsule.resolved


def _why(error: RefusedError | OSError) -> str:
    return (error.strerror or "cannot be read") if isinstance(error, OSError) else str(error)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = next(name for name, count in Counter(n for n, _ in pairs).items() if count > 1)
        raise NotJsonError(f"the name {twice[:80]!r} stands twice in one object")
    return members


def _no_constant(token: str) -> NoReturn:
    raise NotJsonError(f"{token} is no JSON")


def _integer(token: str) -> int:
    if len(token) > _LONGEST_INTEGER:
        raise NotJsonError("an integer that is too long")
    return int(token)


def _finite(token: str) -> float:
    value = float(token)
    if not math.isfinite(value):
        raise NotJsonError(f"a number that is not finite: {token[:40]}")
    return value
