"""``run.*``, ``metric.*``, ``gate.*``, ``fault.*``, ``artifact.*``: one execution of training.

The subject of each is ``run/<run id>``. The wrapper's key writes ``run.opened``,
``run.closed`` and ``artifact.recorded``; the runner's ephemeral key writes the rest.
"""

from typing import Annotated, Literal

from pydantic import Field

from ledger.events.base import Count, Hex64, Number, Payload, Text

Decision = Literal["pass", "warn", "fail", "skip"]
RunStatus = Literal["success", "user_code_failure", "wrapper_failure"]
NonNegative = Annotated[float, Field(ge=0)]


class Package(Payload):
    """The distribution that recorded the run."""

    name: Text
    version: Text


class Git(Payload):
    """The commit that the runner's working directory stood at, as far as it could be told."""

    sha: str | None
    dirty: bool | None


class EnvCapture(Payload):
    """The rules by which the environment was captured."""

    allowlist: list[str]
    deny_exact: list[str]
    deny_regex: list[str]
    redactions_applied: bool


class RunOpened(Payload):
    """The wrapper is about to start the runner."""

    kind: Text
    argv: list[str]
    outdir: str
    runner_key: Hex64 | None
    package: Package
    python: Text
    platform: Text
    git: Git
    env: dict[str, str]
    env_capture: EnvCapture


class GatePlan(Payload):
    """Everything the gate's decisions depend on, besides the metrics themselves.

    ``window`` and ``metric_interval`` are in iterations; ``ranges`` gives each
    metric's declared [low, high], cut into ``bins`` equal bins; ``weights`` are
    relative; ``epsilon`` bounds the weighted total variation distance D_W.
    """

    preset: Text
    policy: Text
    window: Annotated[int, Field(ge=1)]
    metric_interval: Annotated[int, Field(ge=1)]
    warmup: Count
    bins: Annotated[int, Field(ge=2, le=4096)]
    ranges: dict[str, tuple[float, float]]
    weights: dict[str, NonNegative]
    epsilon: NonNegative
    persistence: Annotated[int, Field(ge=1)]
    min_evidence: Count


class DataSource(Payload):
    """The text that the runner trains on."""

    name: Text
    sha256: Hex64
    bytes: Count


class RunPlanned(Payload):
    """The runner commits to its plan before step 0."""

    gate: GatePlan
    max_iters: Count
    seed: Count
    model: dict[str, int | float | str | bool]
    data: DataSource


class MetricObserved(Payload):
    """The metrics of one iteration, measured after its optimizer step."""

    iter: Count
    values: dict[str, Number]


class Audit(Payload):
    """How a gate check came to its decision (the seed's AuditV1)."""

    evaluated: bool
    reason: Text
    policy: Text
    worst_DW: Number | None  # noqa: N815 - the seed's name
    eps_eff: NonNegative | None
    per_metric_tv: dict[str, Number]
    evidence_total: Count
    min_evidence: Count


class Evidence(Payload):
    """The histogram counts of one metric: the reference window and the recent one."""

    reference: list[Count]
    recent: list[Count]


class GateChecked(Payload):
    """One evaluation of the training gate."""

    iter: Count
    decision: Decision
    audit: Audit
    evidence: dict[str, Evidence]


class FaultInjected(Payload):
    """The runner began to corrupt its own input, as its plan or its user asked."""

    iter: Count
    kind: Text
    fraction: Annotated[float, Field(ge=0, le=1)]


class RunFinished(Payload):
    """The runner's own last word; the wrapper's ``run.closed`` says how the process ended."""

    iters: Count
    final_loss: Number | None


class RunClosed(Payload):
    """The runner's process has ended: the second witness speaks."""

    status: RunStatus
    exit_code: Annotated[int, Field(ge=0, le=255)] | None
    signal: str | None
    wall_s: NonNegative


class ArtifactRecorded(Payload):
    """A file of the run directory, as it stood when the run was closed.

    ``projection`` and ``at`` are set when the file is a projection of the first
    ``at`` entries, and ``null`` when the runner or the wrapper wrote it.
    """

    path: Text
    sha256: Hex64
    bytes: Count
    media_type: Text
    projection: str | None
    at: Count | None
