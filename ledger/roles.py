"""The roles that a new ledger gets when its owner names none.

``wrapper`` and ``runner`` are the two witnesses of a run; ``writer`` is both in
one, for a program that records by itself. Each may record that it recovered a
torn end (format.md section 4).
"""

from collections.abc import Mapping, Sequence

_RUN = ["run.*", "metric.*", "gate.*", "fault.*", "artifact.*", "blob.*"]

DEFAULT_ROLES: Mapping[str, Sequence[str]] = {
    "owner": ["*"],
    "wrapper": ["run.*", "artifact.*", "blob.*", "x.*", "ledger.recovered"],
    "runner": [
        "run.planned",
        "run.finished",
        "run.rank",
        "run.resumed",
        "run.saved",
        "metric.*",
        "gate.*",
        "fault.*",
        "x.*",
        "ledger.recovered",
    ],
    "writer": [*_RUN, "x.*", "ledger.recovered"],
    "reviewer": ["governance.*", "ledger.recovered"],
    "log": ["checkpoint.*", "ledger.recovered"],
}
