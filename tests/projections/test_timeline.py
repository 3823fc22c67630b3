import json

import histories
import payloads
import story
from hypothesis import given, settings

from projections import PROJECTIONS, project


@settings(max_examples=60, deadline=None)
@given(entries=histories.stories())
def test_the_timeline_has_one_line_for_each_entry(entries: list[story.Entry]) -> None:
    text = project([PROJECTIONS["timeline"]()], entries)["timeline.txt"].decode()
    lines = text.split("\n")
    assert len(lines) == len(entries) + 1
    assert [int(line.split()[0]) for line in lines[:-1]] == [entry.seq for entry in entries]
    assert not story.INVISIBLE.search(text)


def test_the_timeline_names_signers_as_the_ledger_does_and_shows_their_key() -> None:
    made = story.Story()
    made.add(
        "key.authorized", "", payloads.authorized(payloads.RUNNER, "runner"), key=payloads.OWNER
    )
    made.add(
        "key.authorized", "", payloads.authorized(payloads.RUNNER, "owner"), key=payloads.RUNNER
    )
    made.metrics("r", 1, loss=2)
    made.add("x.note", "", {"a": 1}, key=b"\x09" * 32)
    lines = project([PROJECTIONS["timeline"]()], made.entries)["timeline.txt"].decode().splitlines()
    runner = payloads.key_id(payloads.RUNNER)[:8]
    assert lines[3].endswith(f"iter 1 loss=2  [runner {runner}, in batch]")
    assert lines[4].endswith(f'{{"a":1}}  [? {payloads.key_id(bytes([9]) * 32)[:8]}]')


def test_the_timeline_tells_every_event_of_the_vocabulary_in_words() -> None:
    made = story.fail_then_pass()
    owner, runner = payloads.key_id(payloads.OWNER), payloads.key_id(payloads.RUNNER)
    made.add(
        "ledger.recovered",
        "",
        {
            "side_file": "torn-1",
            "sha256": payloads.SHA,
            "bytes": 9,
            "entries": 2,
            "hashes": [payloads.SHA],
            "part": 1,
            "parts": 1,
        },
    )
    by = {"alg": "ed25519", "public": payloads.public_text(b"\4" * 32), "name": "next"}
    made.add("key.rotated", "", {"key": runner, "by": by}, key=payloads.OWNER)
    revoked = {"key": owner, "reason": "lost", "compromised_since": 3}
    made.add("key.revoked", "", revoked, key=payloads.OWNER)
    made.add("blob.erased", "", {"sha256": payloads.SHA, "reason": "asked to"})
    made.metrics("r", 1, **{f"m{number}": number for number in range(10)})
    lines = project([PROJECTIONS["timeline"]()], made.entries)["timeline.txt"].decode().splitlines()
    assert "2 torn entries moved to torn-1" in lines[-5]
    assert f"{runner[:8]} gives way to next " in lines[-4]
    assert f"{owner[:8]}: lost, compromised since entry 3" in lines[-3]
    assert json.dumps({"sha256": payloads.SHA}, separators=(",", ":"))[:-1] in lines[-2]
    assert "m7=7 +2" in lines[-1]
