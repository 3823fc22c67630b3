"""``timeline.txt``: the whole ledger, one readable line for each entry.

Every type has its line, the unknown and the ``x.*`` too. Key names are what the
ledger's own key events say; a name is taken once for a key, as in the register,
and the first digits of the key id stand beside it, for a name proves nothing.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from ledger.events import Payload
from ledger.events.governance import GovernanceCleared, GovernanceJudged
from ledger.events.ledger_family import (
    KeyAuthorized,
    KeyRevoked,
    KeyRotated,
    LedgerCreated,
    LedgerRecovered,
)
from ledger.events.run import (
    ArtifactRecorded,
    FaultInjected,
    GateAnchored,
    GateChecked,
    GatePlan,
    MetricObserved,
    RunClosed,
    RunFinished,
    RunOpened,
    RunPlanned,
    RunRank,
    RunResumed,
    RunSaved,
)
from projections.escape import number, plain_quote, visible, visible_json
from projections.keys import key_id, learn_names
from projections.protocol import EntryLike
from projections.runs import decision_of, read_payload

FILE_NAME = "timeline.txt"
MOST = 8  # roles or metrics named in a line
DETAIL = 120  # characters of a payload without a line of its own


class Timeline(msgspec.Struct, forbid_unknown_fields=True):
    """The lines so far, and the names of the keys by key id."""

    lines: list[str] = msgspec.field(default_factory=list)
    names: dict[str, str] = msgspec.field(default_factory=dict)


class TimelineProjection:
    """The projection of ``timeline.txt``."""

    name = "timeline"
    version = 1
    state_type = Timeline

    def initial(self) -> Timeline:
        """Return a state without lines."""
        return Timeline()

    def apply(self, state: Timeline, entry: EntryLike) -> Timeline:
        """Append the line of *entry*."""
        payload = read_payload(entry)
        learn_names(state.names, payload)
        who = f"{plain_quote(state.names.get(entry.key, '?'), limit=32)} {visible(entry.key[:8])}"
        subject = plain_quote(entry.subject, limit=64) if entry.subject else "-"
        parts = (
            f"{entry.seq:>6}",
            visible(entry.time),
            f"{visible(entry.type):<18}",
            subject,
            _detail(entry, payload),
            f"[{who}{'' if entry.signed else ', in batch'}]",
        )
        state.lines.append("  ".join(part for part in parts if part))
        return state

    def render(self, state: Timeline) -> dict[str, bytes]:
        """Return the one file; an empty ledger has an empty one."""
        return {FILE_NAME: "".join(f"{line}\n" for line in state.lines).encode()}


def _detail(entry: EntryLike, payload: Payload | None) -> str:
    say = _LINES.get(type(payload))
    if say is not None:
        return say(payload)
    return visible_json(entry.data, limit=DETAIL)


def _created(payload: LedgerCreated) -> str:
    return f"{plain_quote(payload.name)}, {len(payload.keys)} keys"


def _recovered(payload: LedgerRecovered) -> str:
    return f"{payload.entries} torn entries moved to {plain_quote(payload.side_file)}"


def _authorized(payload: KeyAuthorized) -> str:
    roles = ", ".join(plain_quote(role, limit=32) for role in payload.roles[:MOST])
    return f"{plain_quote(payload.name)} {key_id(payload.public)[:8]} as {roles or 'nothing'}"


def _rotated(payload: KeyRotated) -> str:
    successor = f"{plain_quote(payload.by.name)} {key_id(payload.by.public)[:8]}"
    return f"{payload.key[:8]} gives way to {successor}"


def _revoked(payload: KeyRevoked) -> str:
    since = payload.compromised_since
    told = "" if since is None else f", compromised since entry {since}"
    return f"{payload.key[:8]}: {plain_quote(payload.reason)}{told}"


def _opened(payload: RunOpened) -> str:
    package = f"{payload.package.name} {payload.package.version}"
    return f"{plain_quote(payload.kind)} by {plain_quote(package)}"


def _planned(payload: RunPlanned) -> str:
    gate = payload.gate
    rule = (
        f"epsilon {number(gate.epsilon)}"
        if isinstance(gate, GatePlan)
        else f"fail above z {number(gate.fail_z)}"
    )
    changed = f", {len(payload.overrides)} overrides" if payload.overrides else ""
    return (
        f"{payload.max_iters} iterations on {plain_quote(payload.data.name)}, seed {payload.seed},"
        f" gate {plain_quote(gate.preset)}: window {gate.window}, {rule}{changed}"
    )


def _resumed(payload: RunResumed) -> str:
    return f"from iter {payload.iter} of {plain_quote(payload.from_run)}"


def _saved(payload: RunSaved) -> str:
    return f"iter {payload.iter} {plain_quote(payload.path)}, sha256 {payload.sha256[:16]}…"


def _ranked(payload: RunRank) -> str:
    place = plain_quote(payload.path)
    return f"rank {payload.rank} of {payload.world_size}: {place}, {payload.size} entries"


def _observed(payload: MetricObserved) -> str:
    values = sorted(payload.values.items())
    shown = [f"{plain_quote(name, limit=32)}={number(value)}" for name, value in values[:MOST]]
    if len(values) > MOST:
        shown.append(f"+{len(values) - MOST}")
    return " ".join((f"iter {payload.iter}", *shown))


def _checked(payload: GateChecked) -> str:
    audit, forecast = payload.audit, payload.forecast
    told = f"D_W {number(audit.worst_DW)} of {number(audit.eps_eff)}"
    if forecast is not None:
        driver = "-" if forecast.metric is None else plain_quote(forecast.metric, limit=32)
        told = f"z {number(forecast.z)} of {driver}"
    reason = plain_quote(audit.reason)
    return f"iter {payload.iter} {decision_of(payload).upper()} {told}, {reason}"


def _anchored(payload: GateAnchored) -> str:
    return f"iter {payload.iter} {plain_quote(payload.reason)}"


def _faulted(payload: FaultInjected) -> str:
    by = "" if payload.factor is None else f", factor {number(payload.factor)}"
    share = f"{payload.fraction:.0%} of the input"
    return f"iter {payload.iter} {plain_quote(payload.kind)} on {share}{by}"


def _finished(payload: RunFinished) -> str:
    told = f"after {payload.iters} iterations, final loss {number(payload.final_loss)}"
    if payload.stopped is not None:
        told += f", stopped: {plain_quote(payload.stopped)}"
    return told


def _closed(payload: RunClosed) -> str:
    how = "no exit code" if payload.exit_code is None else f"exit {payload.exit_code}"
    if payload.signal:
        how = f"signal {plain_quote(payload.signal)}"
    return f"{payload.status}, {how}, {payload.wall_s:.1f} s"


def _recorded(payload: ArtifactRecorded) -> str:
    return f"{plain_quote(payload.path)}, {payload.bytes} bytes, sha256 {payload.sha256[:16]}…"


def _judged(payload: GovernanceJudged) -> str:
    return f"{payload.status.upper()} {plain_quote(payload.reason)}{_by(payload.reviewer)}"


def _cleared(payload: GovernanceCleared) -> str:
    reason = "taken back" if payload.reason is None else plain_quote(payload.reason)
    return f"{reason}{_by(payload.reviewer)}"


def _by(reviewer: str | None) -> str:
    return "" if reviewer is None else f", reviewer {plain_quote(reviewer, limit=32)}"


_LINES: dict[type[Any], Callable[[Any], str]] = {
    LedgerCreated: _created,
    LedgerRecovered: _recovered,
    KeyAuthorized: _authorized,
    KeyRotated: _rotated,
    KeyRevoked: _revoked,
    RunOpened: _opened,
    RunPlanned: _planned,
    RunResumed: _resumed,
    RunSaved: _saved,
    RunRank: _ranked,
    MetricObserved: _observed,
    GateChecked: _checked,
    GateAnchored: _anchored,
    FaultInjected: _faulted,
    RunFinished: _finished,
    RunClosed: _closed,
    ArtifactRecorded: _recorded,
    GovernanceJudged: _judged,
    GovernanceCleared: _cleared,
}
