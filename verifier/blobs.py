"""Check the blobs that entries refer to (format.md section 8).

A blob lies beside the ledger under its digest, so only its bytes can be wrong. A
blob that is gone is missing, unless its erasure is on record: then the chain is
whole and the verdict says *erased on record*.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from verifier.beneath import RefusedError, digest, opened_root
from verifier.findings import Findings
from verifier.story import BlobReference, Place, Story
from verifier.text import listed

__all__ = ["BlobCount", "check_blobs"]

_NAMED = 5


@dataclass(frozen=True, slots=True)
class BlobCount:
    """How many blobs there are by what came out."""

    good: int
    faulty: int
    erased: int
    erased_but_present: int


def check_blobs(folder: Path, story: Story, findings: Findings) -> BlobCount:
    """Check every blob that *story* kept, in the blob store of *folder*.

    Raises:
        OSError: *folder* cannot be opened.
    """
    # An entry may name several blobs, and a finding stands at an entry: one of each code there.
    faults: dict[tuple[str, Place], list[str]] = defaultdict(list)
    good = erased = present = 0
    with opened_root(folder) as root:
        for reference, place in story.blobs.items():
            fault = _fault(root, reference)
            on_record = reference.sha256 in story.erased
            if fault is not None and fault[0] == "blob.missing" and on_record:
                erased += 1
                continue
            present += on_record
            good += fault is None
            if fault is not None:
                faults[fault[0], place].append(fault[1])
    for (code, place), messages in faults.items():
        findings.add(code, place.seq, place.line, listed(messages, _NAMED))
    faulty = sum(len(messages) for messages in faults.values())
    return BlobCount(good=good, faulty=faulty, erased=erased, erased_but_present=present)


def _fault(root: int, reference: BlobReference) -> tuple[str, str] | None:
    name = f"blob {reference.sha256}"
    path = f"blobs/sha256/{reference.sha256[:2]}/{reference.sha256}"
    try:
        found = digest(root, path, reference.size)
    except FileNotFoundError:
        return "blob.missing", f"{name} is not in the blob store, and its erasure is not on record"
    except RefusedError as error:
        return "blob.missing", f"{name}: {error}"
    except OSError as error:
        return "blob.missing", f"{name} cannot be read: {error.strerror}"
    if found.size != reference.size:
        size = "more" if found.size > reference.size else found.size
        return "blob.checksum", f"{name}: expected {reference.size} bytes, found {size}"
    if found.sha256 != reference.sha256:
        return "blob.checksum", f"{name}: found bytes with the digest {found.sha256}"
    return None
