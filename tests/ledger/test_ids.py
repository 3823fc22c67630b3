"""Default ids: UUIDv7, ascending within a process, apart between processes."""

import re
import time
import uuid

from ledger.ids import Ids

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_an_id_is_a_uuid_of_version_7() -> None:
    for text in Ids().take(100):
        assert UUID7.fullmatch(text)
        assert (uuid.UUID(text).version, uuid.UUID(text).variant) == (7, uuid.RFC_4122)


def test_ids_ascend_within_and_across_batches() -> None:
    source = Ids()
    made = [text for count in (1, 1, 500, 1, 3, 2) * 20 for text in source.take(count)]
    assert made == sorted(set(made))


def test_an_id_carries_the_time() -> None:
    before = time.time_ns() // 1_000_000
    stamp = int(Ids().take(1)[0].replace("-", "")[:12], 16)
    assert before <= stamp <= time.time_ns() // 1_000_000


def test_two_sources_do_not_meet() -> None:
    one, other = Ids(), Ids()
    made = [text for _ in range(200) for source in (one, other) for text in source.take(2)]
    assert len(set(made)) == len(made)


def test_none_are_given_when_none_are_asked_for() -> None:
    assert Ids().take(0) == []
