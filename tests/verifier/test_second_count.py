"""The two counts agree: what the projections write, the verifier counts again, over random runs.

This is the only place where the writer, the projections and the verifier meet in
one test; the verifier itself sees nothing but the files.
"""

import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from ledger import Event, Key, Ledger
from projections import PROJECTIONS, project
from tests.verifier.capsule import OPENED, PLANNED, RUN
from verifier.findings import Findings
from verifier.policy import Policy
from verifier.results import RECOUNTED, recount
from verifier.run import verify_path
from verifier.story import Keep, Story
from verifier.verdict import Verdict

FILES = ("results", "summary", "window_signature", "report", "timeline")


def number(rng: random.Random) -> float | int | str:
    return rng.choice(
        [rng.random(), rng.randrange(9), 1e-07, 1e22, -0.0, 5e-324, "NaN", "Infinity", "-Infinity"]
    )


def audit(rng: random.Random, *, evaluated: bool) -> dict[str, Any]:
    return {
        "evaluated": evaluated,
        "reason": rng.choice(["ok", "caf\u00e9 \u2603", "\u202e\x01"]),
        "policy": "persistence",
        "worst_DW": rng.choice([None, number(rng)]),
        "eps_eff": rng.choice([None, 0, 0.25]),
        "per_metric_tv": {name: number(rng) for name in rng.sample(["a", "b", "worst_DW"], 2)},
        "evidence_total": rng.randrange(99),
        "min_evidence": 4,
    }


def events_of(rng: random.Random) -> list[tuple[str, Any]]:
    """A possible story: perhaps without plan, metrics, finish or close."""
    events: list[tuple[str, Any]] = [("run.opened", OPENED)]
    planned = rng.random() < 0.9
    if planned:
        gate = {**PLANNED["gate"], "epsilon": rng.choice([0, 1, 0.25]), "weights": {"\u00e9": 2}}
        events.append(("run.planned", {**PLANNED, "gate": gate}))
    for step in range(rng.randrange(12)):
        names = rng.sample(["loss", "eff_dim", "\u00e9\u2603"], rng.randrange(4))
        events.append(
            ("metric.observed", {"iter": step, "values": {n: number(rng) for n in names}})
        )
        if planned and rng.random() < 0.5:
            decision = rng.choice(["pass", "warn", "fail", "skip"])
            said = audit(rng, evaluated=rng.random() < 0.7)
            data = {"iter": step, "decision": decision, "audit": said, "evidence": {}}
            events.append(("gate.checked", data))
    if rng.random() < 0.7:
        events.append(("run.finished", {"iters": 3, "final_loss": number(rng)}))
    if rng.random() < 0.8:
        status = rng.choice(["success", "user_code_failure", "wrapper_failure"])
        signal = rng.choice([None, "", "SIGKILL"])
        code = rng.choice([None, 0, 1])
        ending = {"status": status, "exit_code": code, "signal": signal, "wall_s": 0.5}
        events.append(("run.closed", ending))
    return events


def capsule(folder: Path, seed: int, store: str) -> tuple[str, dict[str, bytes]]:
    """A run directory by our own writer and projections; return its id and the files."""
    rng = random.Random(seed)  # noqa: S311 - a reproducible story
    folder.mkdir()
    key = Key.from_seed(hashlib.sha256(b"%d" % seed).digest())
    with Ledger.create(folder / store, name="demo", key=key) as book:
        book.append_batch([Event(kind, RUN, data) for kind, data in events_of(rng)])
        at = book.size
        files = project([PROJECTIONS[name]() for name in FILES], book.entries(), at=at)
        for path, content in files.items():
            (folder / path).write_bytes(content)
            said = {
                "path": path,
                "sha256": hashlib.sha256(content).hexdigest(),
                "bytes": len(content),
                "media_type": "text/plain",
                "projection": "x",
                "at": at,
            }
            book.append(Event("artifact.recorded", RUN, said))
        return book.id, files


def verdict(folder: Path, ledger_id: str) -> Verdict:
    return verify_path(folder, Policy(strict=True, ledger_id=ledger_id, checkpoints=()))


@pytest.mark.parametrize("seed", range(30))
def test_projected_files_of_a_random_run_are_confirmed(tmp_path: Path, seed: int) -> None:
    store = ("ledger.jsonl", "ledger.sqlite")[seed % 2]
    ledger_id, files = capsule(tmp_path / "run", seed, store)
    found = verdict(tmp_path / "run", ledger_id)
    assert found.findings == ()
    assert found.outcome == ("VERIFIED" if found.runs[0].closing else "INCOMPLETE")
    assert {"results.json", "results_summary.json", "window_signature.json"} <= files.keys()


def test_no_changed_byte_of_a_counted_file_goes_unnoticed(tmp_path: Path) -> None:
    """Even if its digest were recorded anew: the content itself disagrees with the replay."""
    seed = 4
    _, files = capsule(tmp_path / "run", seed, "ledger.jsonl")
    story = Story(Findings(), keep=Keep(artifacts=True))
    lines = (tmp_path / "run" / "ledger.jsonl").read_bytes().splitlines()
    rng = random.Random(seed)  # noqa: S311 - as above
    for seq, (kind, _) in enumerate(events_of(rng), start=1):
        entry = lines[seq][9 : -86 if lines[seq].endswith(b"null}") else -172]
        story.see(seq, seq + 1, kind, RUN, "", entry)
    replay = story.runs[RUN].replay()
    assert replay.closing is not None
    assert replay.gates
    checked = 0
    for path in RECOUNTED.keys() & files.keys():
        content = files[path]
        assert recount(path, content, replay) == []
        for at in range(len(content)):
            changed = bytearray(content)
            changed[at] ^= 1 << (at % 7)
            assert recount(path, bytes(changed), replay), (path, at)
            checked += 1
    assert checked > 2_000
