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

INVENTED = {"gate.decision", "gate.missing", "gate.plan", "event.order"}
GOING_ON = ("governance", "judgement")  # what people judge after the close
KINDS = ("permute", "lr", "collapse")
FORECAST: dict[str, Any] = {
    "preset": "mine",
    "policy": "forecast_z_max",
    "engine": "forecast_z/1",
    "window": 4,
    "block": 2,
    "metric_interval": 1,
    "warmup": 0,
    "reference": 4,
    "views": [{"name": "v", "blocks": 2, "gap": 0, "errors": 4}],
    "min_errors": 1,
    "metrics": {"loss": "rise", "\u00e9": "two_sided"},
    "level": None,
    "level_from": 0,
    "warn_z": 5,
    "fail_z": 6.0,
    "persistence": 1,
    "hold": 2,
    "min_evidence": 1,
}


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


def opened_of(rng: random.Random) -> dict[str, Any]:
    more = {
        "gate_preset": rng.choice([None, "tuned_v0"]),
        "runner_cmd": rng.choice([[], ["python"]]),
        "wrapper_argv": ["ledger", "run", "caf\u00e9\u2028"],
        "determinism": rng.choice(
            [
                None,
                {
                    "strict": False,
                    "pyhashseed_ok": True,
                    "cublas_config_ok": None,
                    "cudnn_deterministic": None,
                    "notes": ["n"],
                },
            ]
        ),
        "dependencies": rng.choice([None, {"method": "unavailable", "path": None, "notes": []}]),
        "git": rng.choice([{"sha": None, "dirty": None}, {"sha": "0" * 40, "dirty": True}]),
    }
    return {**OPENED, **{name: more[name] for name in rng.sample(sorted(more), 4)}}


def planned_of(rng: random.Random) -> dict[str, Any]:
    histogram = {**PLANNED["gate"], "epsilon": rng.choice([0, 1, 0.25]), "weights": {"\u00e9": 2}}
    kind = rng.choice(KINDS)
    more = {
        "overrides": {"window": 4, "warn_z": rng.choice([5, 5.0])},
        "injection": {"kind": kind, "at": 3, "length": None, "fraction": 1, "factor": 30},
        "distributed": {
            "distributed_mode": "ddp_wrapped",
            "world_size_observed": 2,
            "backend": "gloo",
            "rank": 0,
            "local_rank": 0,
            "ddp_wrapped": True,
        },
    }
    chosen = {name: more[name] for name in rng.sample(sorted(more), rng.randrange(4))}
    return {**PLANNED, "gate": rng.choice([histogram, FORECAST]), **chosen}


def forecast(rng: random.Random) -> dict[str, Any] | None:
    driver = rng.choice([None, "loss"])
    said = {
        "metric": driver,
        "view": driver,
        "z": None if driver is None else rng.choice([2, 2.5]),
        "scores": {},
        "regime": rng.randrange(3),
        "held": 0,
        "history": 4,
    }
    return rng.choice([None, said])


def finished_of(rng: random.Random) -> dict[str, Any]:
    more = {"overhead_s": rng.choice([None, 0.125, 9]), "stopped": rng.choice([None, "fail"])}
    return {"iters": 3, "final_loss": number(rng), **rng.choice([{}, more])}


def judgements_of(rng: random.Random) -> list[tuple[str, Any]]:
    judged = {"status": "pass", "reason": "caf\u00e9\u2028", "reviewer": rng.choice([None, "ada"])}
    cleared = {"reason": None, "reviewer": rng.choice([None, "bob"])}
    known = {"j": ("governance.judged", judged), "c": ("governance.cleared", cleared)}
    return [known[each] for each in rng.choice(["", "j", "jj", "jc", "jcj", "jjc"])]


def events_of(rng: random.Random) -> list[tuple[str, Any]]:
    """A possible story: perhaps without plan, metrics, finish or close."""
    events: list[tuple[str, Any]] = [("run.opened", opened_of(rng))]
    planned = rng.random() < 0.9
    if planned:
        events.append(("run.planned", planned_of(rng)))
    for step in range(rng.randrange(12)):
        names = rng.sample(["loss", "eff_dim", "\u00e9\u2603"], rng.randrange(4))
        events.append(
            ("metric.observed", {"iter": step, "values": {n: number(rng) for n in names}})
        )
        if planned and rng.random() < 0.5:
            decision = rng.choice(["pass", "warn", "fail", "skip"])
            said = audit(rng, evaluated=rng.random() < 0.7)
            data = {"iter": step, "decision": decision, "audit": said, "evidence": {}}
            data["forecast"] = forecast(rng)
            events.append(("gate.checked", data))
    if rng.random() < 0.7:
        events.append(("run.finished", finished_of(rng)))
    if rng.random() < 0.8:
        status = rng.choice(["success", "user_code_failure", "wrapper_failure"])
        signal = rng.choice([None, "", "SIGKILL"])
        code = rng.choice([None, 0, 1])
        ending = {
            "status": status,
            "exit_code": code,
            "signal": signal,
            "wall_s": rng.choice([0.5, 1]),
        }
        ending |= rng.choice([{}, {"reason": rng.choice([None, "it was told to"])}])
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
        book.append_batch([Event(kind, RUN, data) for kind, data in judgements_of(rng)])
        making = [PROJECTIONS[name]() for name in PROJECTIONS if name not in GOING_ON]
        files = project(making, book.entries(), at=at)
        going_on = project([PROJECTIONS[name]() for name in GOING_ON], book.entries())
        for path, content in going_on.items():
            (folder / path).write_bytes(content)
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
        return book.id, {**files, **going_on}


def verdict(folder: Path, ledger_id: str) -> Verdict:
    return verify_path(folder, Policy(strict=True, ledger_id=ledger_id, checkpoints=()))


@pytest.mark.parametrize("seed", range(30))
def test_projected_files_of_a_random_run_are_confirmed(tmp_path: Path, seed: int) -> None:
    store = ("ledger.jsonl", "ledger.sqlite")[seed % 2]
    ledger_id, files = capsule(tmp_path / "run", seed, store)
    found = verdict(tmp_path / "run", ledger_id)
    # The gate checks are invented, and the verifier says so; the files tell of them rightly.
    assert {finding.code for finding in found.findings} <= INVENTED
    assert {"results_summary.json", "window_signature.json"} <= files.keys()


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
