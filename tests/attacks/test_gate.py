"""Attacks on the training gate by the runner itself, which holds a key and signs what it likes.

Each is mounted with the real writer, on a run that the real gate checked: chain, keys and
signatures are in order, so that only the second decision can tell (``threats.md``). Asserted are
the finding, where it stands, and the exit code of the real command.
"""

import copy
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forge import OWNER, RUNNER, new_book

from ledger import Event, Ledger
from producers.gates import open_gate, plan_from_data
from tests.verifier.capsule import OPENED, PLANNED
from verifier.plan import load_presets

RUN = "run/r1"
ITERATIONS = 3_000
FAULT = 2_200
Told = list[tuple[str, dict[str, Any]]]
Attack = Callable[[Told], None]
FIRST = 2  # entry 0 and the runner's key come before the run


def signals(rng: random.Random, iteration: int) -> dict[str, float]:
    """Seven metrics that drift, until the input turns to noise."""
    bad = 0.5 if iteration >= FAULT else 0.0
    loss = 2.0 + 2.0 * math.exp(-iteration / 800) + bad * 4 + rng.gauss(0, 0.01)
    quiet = {name: 1.0 + bad + rng.gauss(0, 0.01) for name in ("act_rms", "cos_disp", "eff_dim")}
    rest = {name: 3.0 - bad + rng.gauss(0, 0.01) for name in ("rankme", "var_out_k")}
    return {"loss": loss, "update_rms": 1e-3, **quiet, **rest}


def recorded(gate_plan: dict[str, Any], *, drop: Callable[[int], bool] | None = None) -> Told:
    """A run of 3 000 iterations as the real gate records it; what is dropped it never sees."""
    rng = random.Random(7)  # noqa: S311 - a reproducible run
    gate = open_gate(plan_from_data(gate_plan))
    told: Told = [("run.opened", {**OPENED, "gate_preset": gate_plan["preset"]})]
    told.append(("run.planned", {**PLANNED, "gate": gate_plan, "max_iters": ITERATIONS}))
    for iteration in range(ITERATIONS):
        if gate.wants(iteration):
            values = signals(rng, iteration)
            if drop is None or not drop(iteration):
                gate.observe(iteration, values)
                told.append(("metric.observed", {"iter": iteration, "values": values}))
        check = gate.check(iteration + 1)
        if check is not None:
            told.append(("gate.checked", check.as_data()))
    told.append(("run.finished", {"iters": ITERATIONS, "final_loss": 2.0}))
    closing = {"status": "success", "exit_code": 0, "signal": None, "wall_s": 9.0}
    return [*told, ("run.closed", closing)]


@pytest.fixture(scope="module")
def honest() -> Told:
    return recorded(dict(load_presets()["tuned_v0"]))


def verified(folder: Path, told: Told) -> tuple[int, dict[str, Any]]:
    """Let the runner write and sign it, and the real command judge it."""
    path = folder / "book.jsonl"
    with new_book(path, (RUNNER, "writer")) as book:
        ledger_id = book.id
    with Ledger.open(path, key=RUNNER.key) as book:
        book.append_batch([Event(kind, RUN, data) for kind, data in told])
    assert RUNNER.id != OWNER.id
    command = [sys.executable, "-m", "verifier", str(path), "--strict", "--json"]
    done = subprocess.run(
        [*command, "--ledger-id", ledger_id], capture_output=True, text=True, check=False
    )
    return done.returncode, json.loads(done.stdout)


def found(verdict: dict[str, Any]) -> list[tuple[str, int]]:
    return [(finding["code"], finding["seq"] - FIRST) for finding in verdict["findings"]]


def checks(told: Told) -> list[dict[str, Any]]:
    return [data for kind, data in told if kind == "gate.checked"]


def place(told: Told, kind: str, iteration: int) -> int:
    return next(at for at, (k, d) in enumerate(told) if k == kind and d.get("iter") == iteration)


def fails(told: Told) -> list[int]:
    return [check["iter"] for check in checks(told) if check["decision"] == "fail"]


def test_the_honest_run_is_decided_again_in_full(tmp_path: Path, honest: Told) -> None:
    assert fails(honest)[0] == FAULT + 100
    decisions = {check["decision"] for check in checks(honest)}
    assert {"skip", "pass", "fail"} <= decisions
    code, verdict = verified(tmp_path, honest)
    assert (code, verdict["verdict"], verdict["findings"]) == (0, "VERIFIED", [])
    (run,) = verdict["runs"]
    assert (run["gate_checks"], run["gates_recomputed"], run["gate_anchors"]) == (30, 30, 0)
    assert any(line.startswith("gates recomputed: 30 of 30") for line in verdict["checked"])


# -- each attack changes the honest run in place; the findings it leads to are the whole list


def turn_a_fail_into_a_pass(told: Told) -> None:
    check = checks(told)[FAULT // 100]
    check["decision"] = "pass"
    check["audit"]["reason"] = "none_ok"


def hide_how_bad_it_was(told: Told) -> None:
    check = checks(told)[FAULT // 100]
    check["audit"]["worst_DW"] = math.nextafter(check["audit"]["worst_DW"], 0)


def nudge_one_variation(told: Told) -> None:
    variations = checks(told)[FAULT // 100]["audit"]["per_metric_tv"]
    name = min(variations, key=variations.__getitem__)
    variations[name] = math.nextafter(variations[name], 2)


def nudge_the_limit(told: Told) -> None:
    audit = checks(told)[FAULT // 100]["audit"]
    audit["eps_eff"] = math.nextafter(audit["eps_eff"], 2)


def claim_more_evidence(told: Told) -> None:
    checks(told)[FAULT // 100]["audit"]["evidence_total"] += 1


def change_a_metric_afterwards(told: Told) -> None:
    values = told[place(told, "metric.observed", FAULT - 45)][1]["values"]
    values["loss"] = math.nextafter(values["loss"], 9) + 2.0**-20


@pytest.mark.parametrize(
    "attack",
    [
        turn_a_fail_into_a_pass,
        hide_how_bad_it_was,
        nudge_one_variation,
        nudge_the_limit,
        claim_more_evidence,
    ],
)
def test_a_check_that_was_touched_up_is_found(tmp_path: Path, honest: Told, attack: Attack) -> None:
    told = copy.deepcopy(honest)
    attack(told)
    code, verdict = verified(tmp_path, told)
    at = place(told, "gate.checked", FAULT + 100)
    assert (code, found(verdict)) == (2, [("gate.decision", at)])


def test_a_metric_that_was_touched_up_is_found_at_the_next_check(
    tmp_path: Path, honest: Told
) -> None:
    told = copy.deepcopy(honest)
    change_a_metric_afterwards(told)
    code, verdict = verified(tmp_path, told)
    assert code == 2
    assert found(verdict)[0] == ("gate.decision", place(told, "gate.checked", FAULT))
    assert {finding[0] for finding in found(verdict)} == {"gate.decision"}


def test_a_milder_plan_under_the_name_of_a_preset_is_refused(tmp_path: Path) -> None:
    told = recorded({**load_presets()["tuned_v0"], "fail_z": 1e6})
    assert fails(told) == []
    code, verdict = verified(tmp_path, told)
    assert (code, found(verdict)) == (2, [("gate.plan", 1)])
    assert verdict["findings"][0]["message"] == "fail_z: expected 6.0, found 1000000.0"
    assert verdict["runs"][0]["gates_recomputed"] == 0


def test_a_milder_plan_is_open_about_itself_or_refused(tmp_path: Path) -> None:
    """With its override on record it is the user's own choice, and everyone can read it."""
    told = recorded({**load_presets()["tuned_v0"], "fail_z": 1e6})
    told[1][1]["overrides"] = {"fail_z": 1e6}
    code, verdict = verified(tmp_path, told)
    assert (code, found(verdict)) == (0, [])


def test_another_preset_than_the_one_that_was_asked_for_is_refused(tmp_path: Path) -> None:
    told = recorded({**load_presets()["tuned_v0"], "preset": "own", "fail_z": 1e6})
    told[0][1]["gate_preset"] = "tuned_v0"
    code, verdict = verified(tmp_path, told)
    assert (code, found(verdict)) == (2, [("gate.plan", 1)])


def test_a_check_that_was_left_out_is_missed(tmp_path: Path, honest: Told) -> None:
    told = copy.deepcopy(honest)
    at = place(told, "gate.checked", FAULT + 100)
    del told[at]
    code, verdict = verified(tmp_path, told)
    assert (code, found(verdict)) == (2, [("gate.missing", at)])
    assert verdict["runs"][0]["gates_recomputed"] == 29


def test_the_last_check_is_missed_too(tmp_path: Path, honest: Told) -> None:
    told = copy.deepcopy(honest)
    del told[place(told, "gate.checked", ITERATIONS)]
    at = next(at for at, (kind, _) in enumerate(told) if kind == "run.finished")
    code, verdict = verified(tmp_path, told)
    assert (code, found(verdict)) == (2, [("gate.missing", at)])


def test_bad_observations_that_were_left_out_are_found(tmp_path: Path, honest: Told) -> None:
    """The decision stays, the reason for it is gone."""
    window = range(FAULT, FAULT + 100)
    told = [
        (kind, data)
        for kind, data in copy.deepcopy(honest)
        if kind != "metric.observed" or data["iter"] not in window
    ]
    code, verdict = verified(tmp_path, told)
    assert code == 2
    assert found(verdict)[0] == ("gate.decision", place(told, "gate.checked", FAULT + 100))


def test_a_runner_that_never_measures_the_bad_part_gets_no_pass(tmp_path: Path) -> None:
    """A gate that is not shown the fault cannot find it, but it does not call that a pass."""
    told = recorded(dict(load_presets()["tuned_v0"]), drop=lambda i: FAULT <= i < FAULT + 300)
    blind = [c["decision"] for c in checks(told) if FAULT < c["iter"] <= FAULT + 300]
    assert blind == ["skip"] * 3
    code, verdict = verified(tmp_path, told)
    assert (code, found(verdict)) == (0, [])


def test_a_check_that_was_recorded_early_is_found(tmp_path: Path, honest: Told) -> None:
    """Before the last observations of its window, which come too late then."""
    told = copy.deepcopy(honest)
    at = place(told, "gate.checked", FAULT + 100)
    told.insert(at - 3, told.pop(at))
    code, verdict = verified(tmp_path, told)
    codes = found(verdict)
    assert code == 2
    assert codes[0] == ("gate.decision", at - 3)
    assert [seq for kind, seq in codes if kind == "event.order"] == [at - 2, at - 1, at]


def test_an_observation_that_was_moved_behind_its_check_is_found(
    tmp_path: Path, honest: Told
) -> None:
    told = copy.deepcopy(honest)
    at = place(told, "metric.observed", FAULT + 95)
    told[at], told[at + 1] = told[at + 1], told[at]
    code, verdict = verified(tmp_path, told)
    assert code == 2
    assert found(verdict)[:2] == [("gate.decision", at), ("event.order", at + 1)]


def anchored(at: int) -> tuple[str, dict[str, Any]]:
    return "gate.anchored", {"iter": at, "reason": "other data"}


def test_a_declared_change_that_the_checks_do_not_know_is_found(
    tmp_path: Path, honest: Told
) -> None:
    told = copy.deepcopy(honest)
    turn_a_fail_into_a_pass(told)
    told.insert(place(told, "metric.observed", FAULT), anchored(FAULT))
    code, verdict = verified(tmp_path, told)
    assert code == 2
    assert found(verdict)[0] == ("gate.decision", place(told, "gate.checked", FAULT + 100))


def test_a_change_that_was_declared_after_the_check_is_refused(
    tmp_path: Path, honest: Told
) -> None:
    told = copy.deepcopy(honest)
    at = place(told, "gate.checked", FAULT + 100) + 1
    told.insert(at, anchored(FAULT))
    code, verdict = verified(tmp_path, told)
    assert (code, found(verdict)) == (2, [("event.order", at)])


def test_an_unsigned_hand_changes_nothing_about_that(tmp_path: Path, honest: Told) -> None:
    """The same lie, by someone who is not the runner: the signature falls, too."""
    path = tmp_path / "book.jsonl"
    with new_book(path, (RUNNER, "writer")) as book:
        book.append_batch([Event(kind, RUN, data) for kind, data in honest])
    content = path.read_bytes()
    at = content.index(b'"decision":"fail"')
    path.write_bytes(content[:at] + b'"decision":"pass"' + content[at + 17 :])
    command = [sys.executable, "-m", "verifier", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    codes = {finding["code"] for finding in json.loads(done.stdout)["findings"]}
    assert done.returncode == 2
    assert {"entry.hash", "gate.decision"} <= codes
