"""The bare work that verification is measured against, each in a process of its own.

    python -m benchmarks.limits sha256 FILE     only hash every line
    python -m benchmarks.limits ed25519 FILE    only verify every signature

Each prints what the loop alone took: ``{"count": …, "wall": …, "cpu": …}``.
"""

import base64
import json
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

_BUFFER = 1 << 17  # the fastest of those tried
_OPEN, _TAIL = 9, 172  # format.md section 1: what frames the entry of a signed line
_PAYLOAD_TYPE = b"application/vnd.evidence-ledger.entry.v1+json"


def hash_lines(path: Path) -> dict[str, float]:
    """Hash each line of the file, and do nothing with it."""
    wall, cpu = time.perf_counter(), time.process_time()
    count = 0
    with path.open("rb", buffering=_BUFFER) as file:
        for line in file:
            sha256(line).digest()
            count += 1
    return _spent(count, wall, cpu)


def verify_signatures(path: Path) -> dict[str, float]:
    """Verify every signature of a ledger of one key; reading and slicing is not counted."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - not for sha256
        Ed25519PublicKey,
    )

    with path.open("rb") as file:
        lines = file.readlines()
    first = json.loads(lines[0])["entry"]
    public = base64.b64decode(first["data"]["keys"][0]["public"])
    pairs = [_signed(line.rstrip(b"\n")) for line in lines if not line.endswith(b"null}\n")]
    del lines
    verify = Ed25519PublicKey.from_public_bytes(public).verify
    wall, cpu = time.perf_counter(), time.process_time()
    for signature, message in pairs:
        verify(signature, message)
    return _spent(len(pairs), wall, cpu)


def _signed(line: bytes) -> tuple[bytes, bytes]:
    """Return the signature of a line, and the message that it signs."""
    raw = line[_OPEN:-_TAIL]
    head = b"DSSEv1 %d %b %d " % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE, len(raw))
    return base64.b64decode(line[-90:-2]), head + raw


def _spent(count: int, wall: float, cpu: float) -> dict[str, float]:
    return {
        "count": count,
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
    }


_LIMITS: dict[str, Callable[[Path], dict[str, float]]] = {
    "sha256": hash_lines,
    "ed25519": verify_signatures,
}

if __name__ == "__main__":
    print(json.dumps(_LIMITS[sys.argv[1]](Path(sys.argv[2]))))
