"""The faults that a run inflicts on itself: how they are written, and which are refused."""

import json
from typing import Any

import pytest

from ledger import MisuseError
from ledger.events.run import Injection
from producers.gates import corruption
from producers.gates.corruption import KINDS, Corruption


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("random@0", Corruption(0)),
        ("random@240:40", Corruption(240, 40)),
        ("random@240:40:0.5", Corruption(240, 40, 0.5)),
        ("permute@2500:400", Corruption(2500, 400, 0.15, kind="permute")),
        ("mask@7::0.25", Corruption(7, None, 0.25, kind="mask")),
        ("lr@2000", Corruption(2000, None, 30.0, kind="lr")),
        ("lr@2000::0.0", Corruption(2000, None, 0.0, kind="lr")),
        ("labels@5:6:0.1", Corruption(5, 6, 0.1, kind="labels")),
        ("collapse@5", Corruption(5, kind="collapse")),
        ("stuck@5:6", Corruption(5, 6, kind="stuck")),
        ("drift@5:1000:0.5", Corruption(5, 1000, 0.5, kind="drift")),
    ],
)
def test_a_corruption_is_read_and_written_alike(text: str, value: Corruption) -> None:
    assert Corruption.parse(text) == value
    assert str(value) == text


@pytest.mark.parametrize(
    "text",
    ["", "random", "random@", "random@-1", "random@1:0", "random@1:2:0", "random@1:2:1.5",
     "random@1:2:3:4", "sideways@1", "random@\N{ARABIC-INDIC DIGIT ONE}", "random@1\n",
     "lr@1:2:1", "lr@1:2:1.0", "lr@1:2:-3", "lr@1:2:inf", "collapse@1:2:3", "stuck@1:2:3",
     "drift@1", "drift@1::0.5", "permute@1:2:0.0", "labels@1:2:1.01", "RANDOM@1"],
)  # fmt: skip
def test_a_corruption_of_another_form_or_without_effect_is_refused(text: str) -> None:
    with pytest.raises(MisuseError):
        Corruption.parse(text)


def test_every_kind_is_in_the_page_that_explains_them() -> None:
    table = str(corruption.__doc__)
    assert all(f"\n{kind} " in table for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_plan_of_every_kind_fits_the_schema(kind: str) -> None:
    fault = Corruption.parse(f"{kind}@10:20")
    data = fault.as_data()
    Injection.model_validate_json(json.dumps(data))
    assert (data["kind"], data["at"], data["length"]) == (kind, 10, 20)
    assert (data["factor"] is not None) == (kind == "lr")
    assert (data["fraction"] is None) == (kind in {"lr", "collapse", "stuck"})


def test_a_fault_covers_its_iterations_and_no_other() -> None:
    limited, lasting = Corruption(3, 4), Corruption(3)
    assert [i for i in range(10) if limited.covers(i)] == [3, 4, 5, 6]
    assert [i for i in range(10) if lasting.covers(i)] == [3, 4, 5, 6, 7, 8, 9]


def test_drift_grows_evenly_to_its_amount() -> None:
    drift = Corruption.parse("drift@10:4:0.5")
    assert [drift.share(i) for i in range(10, 14)] == [0.125, 0.25, 0.375, 0.5]
    assert Corruption.parse("random@10:4:0.5").share(10) == 0.5


@pytest.mark.parametrize(
    ("text", "sizes", "refused"),
    [
        ("permute@1::0.02", {"batch": 16, "block": 64}, True),  # one position, with itself
        ("permute@1::0.03", {"batch": 16, "block": 64}, False),
        ("mask@1::0.007", {"batch": 16, "block": 64}, True),
        ("mask@1::0.01", {"batch": 16, "block": 64}, False),
        ("random@1::0.01", {"batch": 4, "block": 16}, True),
        ("random@1::0.02", {"batch": 4, "block": 16}, False),
        ("drift@1:9:0.01", {"batch": 4, "block": 16}, True),
        ("labels@1::0.02", {"batch": 4, "block": 16}, True),
        ("labels@1::0.04", {"batch": 4, "block": 16}, False),
        ("lr@1::0.5", {"batch": 1, "block": 1}, False),
        ("collapse@1", {"batch": 1, "block": 1}, False),
    ],
)
def test_a_dose_that_changes_nothing_is_refused(
    text: str, sizes: dict[str, Any], *, refused: bool
) -> None:
    fault = Corruption.parse(text)
    if refused:
        with pytest.raises(MisuseError, match="changes nothing"):
            fault.check_dose(**sizes)
    else:
        fault.check_dose(**sizes)
