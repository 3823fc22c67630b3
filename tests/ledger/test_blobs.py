"""Blobs: named by their digest, so they can be lost or erased, but not changed."""

import hashlib
import io
import threading
from pathlib import Path

import pytest

from ledger.blobs import Blobs
from ledger.errors import MisuseError, StoreError

CONTENT = bytes(range(256)) * 9000  # more than one chunk


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "ledger.sqlite")


def put(blobs: Blobs, content: bytes = CONTENT) -> dict[str, object]:
    return blobs.put(io.BytesIO(content), name="weights.bin", media_type="application/x")


def test_a_blob_is_kept_under_its_digest_and_read_back(blobs: Blobs, tmp_path: Path) -> None:
    reference = put(blobs)
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert reference == {
        "sha256": digest,
        "bytes": len(CONTENT),
        "media_type": "application/x",
        "name": "weights.bin",
    }
    assert (tmp_path / "blobs" / "sha256" / digest[:2] / digest).read_bytes() == CONTENT
    assert blobs.read(digest) == CONTENT


def test_putting_the_same_bytes_twice_keeps_one(blobs: Blobs) -> None:
    assert put(blobs) == put(blobs)
    assert len([path for path in blobs.root.rglob("*") if path.is_file()]) == 1


def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    assert blobs.read(str(put(blobs, b"")["sha256"])) == b""


def test_changed_bytes_are_not_handed_out(blobs: Blobs) -> None:
    digest = str(put(blobs)["sha256"])
    blobs.path(digest).write_bytes(b"other")
    with pytest.raises(StoreError):
        blobs.read(digest)


def test_a_blob_that_is_not_there_is_the_caller_s_mistake(blobs: Blobs) -> None:
    with pytest.raises(MisuseError):
        blobs.read("0" * 64)
    with pytest.raises(MisuseError):
        blobs.erase("0" * 64)


def test_an_erased_blob_is_gone(blobs: Blobs) -> None:
    digest = str(put(blobs)["sha256"])
    blobs.erase(digest)
    with pytest.raises(MisuseError):
        blobs.read(digest)


@pytest.mark.parametrize(
    "digest", ["", "..", "../../etc/passwd", "/etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n"]
)
def test_what_is_no_digest_names_no_file(blobs: Blobs, digest: str) -> None:
    """A reference comes out of a ledger that anyone may have written."""
    for use in (blobs.read, blobs.erase, blobs.path):
        with pytest.raises(MisuseError):
            use(digest)


class Failing(io.RawIOBase):
    """A source that breaks off after its first chunk."""

    def __init__(self) -> None:
        self._chunks = [b"x" * 100]

    def read(self, _: int = -1) -> bytes:
        if self._chunks:
            return self._chunks.pop()
        raise OSError(5, "Input/output error")


def test_a_source_that_breaks_off_leaves_nothing(blobs: Blobs) -> None:
    with pytest.raises(StoreError):
        blobs.put(Failing(), name="a", media_type="b")  # type: ignore[arg-type]
    assert not [path for path in blobs.root.rglob("*") if path.is_file()]


def test_a_store_that_cannot_be_made_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_bytes(b"a file in the way")
    with pytest.raises(StoreError):
        put(Blobs(tmp_path / "ledger.sqlite"))


def test_a_directory_in_the_place_of_a_blob_is_an_error_of_ours(blobs: Blobs) -> None:
    digest = str(put(blobs)["sha256"])
    blobs.erase(digest)
    blobs.path(digest).mkdir()
    with pytest.raises(StoreError):
        blobs.read(digest)


def test_threads_that_put_at_once_do_not_mix_their_bytes(blobs: Blobs) -> None:
    contents = [bytes([65 + n]) * 3_000_000 for n in range(4)]
    references: list[dict[str, object]] = []
    threads = [
        threading.Thread(target=lambda content=content: references.append(put(blobs, content)))
        for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = {blobs.read(str(reference["sha256"])) for reference in references}
    assert kept == set(contents)
    assert not list(blobs.root.glob(".*"))
