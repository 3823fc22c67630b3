import csv
import io
import json

import histories
import payloads
import story
from hypothesis import given, settings

from projections import make, project
from projections.calibration import COLUMNS

HEADER = (
    "iter_num,timestamp_utc,change_worst_DW,change_eps_eff,change_eps,change_eps_stat,"
    "change_margin_raw,change_margin_eff,change_margin_rel_eff,change_evaluated,change_ok,"
    "regime_worst_DW,regime_eps_eff,regime_eps_stat,regime_margin_raw,regime_margin_eff,"
    "regime_margin_rel_eff,regime_check_ran,regime_ok,evidence_total,decision_source,"
    "decision_source_stability,decision_source_gate,regime_state,regime_id,"
    "regime_active_effective,regime_shadow_mode,gain_bits,gain_ok,combined_ok,"
    "per_metric_tv_json,meta_json"
)


def files(made: story.Story) -> dict[str, bytes]:
    return project([make("calibration")], made.entries)


def rows(made: story.Story) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(files(made)["calibration.csv"].decode()))]


def one_check(decision: str, **audit: object) -> dict[str, str]:
    made = story.Story()
    made.open("r")
    made.plan("r")
    made.gate("r", 20, decision, **audit)
    (row,) = rows(made)
    return row


def test_the_header_is_exactly_the_public_one() -> None:
    """A writer of the public tool refuses to append to any other."""
    assert ",".join(COLUMNS) == HEADER
    for made in (story.fail_then_pass(), story.forecast()):
        assert files(made)["calibration.csv"].decode().split("\n")[0] == HEADER


def test_there_is_a_row_for_each_check_that_was_evaluated() -> None:
    made = story.fail_then_pass()
    steps = [row["iter_num"] for row in rows(made)]
    assert steps == [str(step) for step in range(80, 240, 20)]
    meta = json.loads(files(made)["calibration.meta.json"])
    assert meta["rows"] == len(steps)
    assert meta["columns"] == HEADER.split(",")
    assert set(meta["units"]) <= set(meta["columns"])
    assert meta["gate_preset"] == "tuned_v0"


def test_a_histogram_check_has_its_margins() -> None:
    row = one_check("fail", worst_DW=0.75, eps_eff=0.25)
    filled = {name: value for name, value in row.items() if value and not name.endswith("json")}
    assert filled == {
        "iter_num": "20",
        "timestamp_utc": "2026-01-15T10:00:03Z",
        "change_worst_DW": "0.75",
        "change_eps_eff": "0.25",
        "change_eps": "0.3",
        "change_margin_raw": "0.45",
        "change_margin_eff": "0.5",
        "change_margin_rel_eff": "2.0",
        "change_evaluated": "1",
        "change_ok": "0",
        "evidence_total": "20",
        "decision_source": "fail",
        "combined_ok": "0",
    }
    assert json.loads(row["per_metric_tv_json"]) == {"eff_dim": 0.75, "var_out_k": 0.0625}


def test_a_forecast_check_says_what_drove_it() -> None:
    row = rows(story.forecast())[-2]
    assert json.loads(row["meta_json"]) == {
        "decision": "fail",
        "driver": "loss",
        "min_evidence": 16,
        "policy": "forecast_z_max",
        "reason": "change_fail",
        "view": "window",
        "z": 20.25,
    }
    assert (row["regime_id"], row["change_eps"], row["decision_source"]) == ("1", "", "change_fail")


def test_what_is_not_finite_or_not_there_is_empty() -> None:
    for audit in ({"worst_DW": "NaN"}, {"worst_DW": None}, {"eps_eff": None}):
        row = one_check("fail", **audit)
        assert row["change_margin_eff"] == row["change_margin_rel_eff"] == ""
    assert one_check("fail", worst_DW=0.5, eps_eff=0)["change_margin_rel_eff"] == ""
    assert one_check("fail", worst_DW=1e300, eps_eff=1e-300)["change_margin_rel_eff"] == ""


def test_no_text_of_the_ledger_can_pass_for_a_formula() -> None:
    for evil in ("=cmd|' /C calc'!A0", "+1", "@SUM(A1)", "-2+3", "a,b", 'a"b', "a\nb"):
        row = one_check("fail", reason=evil)
        assert row["decision_source"] == ""
        assert json.loads(row["meta_json"])["reason"] == evil


def test_a_run_without_a_plan_has_no_table() -> None:
    made = story.Story()
    made.open("r")
    made.gate("r", 20, "pass")
    assert files(made) == {}


def test_a_plan_that_came_after_the_checks_still_gives_their_thresholds() -> None:
    made = story.Story()
    made.gate("r", 20, "pass")
    made.plan("r", gate=payloads.gate_plan(epsilon=0.5))
    assert rows(made)[0]["change_eps"] == "0.5"


@settings(max_examples=60, deadline=None)
@given(entries=histories.stories(whole=True))
def test_any_history_gives_a_table_that_reads_back(entries: list[story.Entry]) -> None:
    made = project([make("calibration")], entries)
    for path, raw in made.items():
        if path.endswith(".csv"):
            read = [*csv.reader(io.StringIO(raw.decode("ascii"), newline=""))]
            assert {len(row) for row in read} == {len(COLUMNS)}
            meta = json.loads(made[path.removesuffix("csv") + "meta.json"])
            assert len(read) == raw.count(b"\n") == meta["rows"] + 1
