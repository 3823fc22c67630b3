"""``run.*``, ``metric.*``, ``gate.*``, ``fault.*``, ``artifact.*``: one execution of training.

The subject of each is ``run/<run id>``. The wrapper's key writes ``run.opened``,
``run.closed`` and ``artifact.recorded``; the runner's ephemeral key writes the rest.
What a gate does with a plan and the observed metrics is docs/reference/gate.md.
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


class Determinism(Payload):
    """What the wrapper found set up for a repeatable run; ``null`` is not applicable."""

    strict: bool
    pyhashseed_ok: bool | None
    cublas_config_ok: bool | None
    cudnn_deterministic: bool | None
    notes: list[str]


class Dependencies(Payload):
    """How the installed packages were listed, and in which file of the run directory."""

    method: Literal["pip_freeze", "unavailable"]
    path: str | None
    notes: list[str]


class RunOpened(Payload):
    """The wrapper is about to start the runner.

    ``argv`` is the command that is started, and ``runner_cmd`` its beginning that is the
    runner itself: what follows are the arguments it was given. ``wrapper_argv`` is
    the wrapper's own command. ``gate_preset`` is what was asked of the wrapper.
    ``witness`` is ``in_process`` when a program recorded its own start and end, so
    that nobody else saw them.
    """

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
    gate_preset: Text | None = None
    runner_cmd: list[str] = Field(default_factory=list)
    wrapper_argv: list[str] = Field(default_factory=list)
    witness: Literal["process", "in_process"] = "process"
    determinism: Determinism | None = None
    dependencies: Dependencies | None = None


class GatePlan(Payload):
    """A histogram gate: all that its decisions depend on, besides the metrics themselves.

    ``window`` and ``metric_interval`` are in iterations; ``ranges`` gives each
    metric's declared [low, high], cut into ``bins`` equal bins; ``weights`` are
    relative; ``epsilon`` bounds the weighted total variation distance D_W; ``gain``
    bounds the loss's gain, in bits, from below.
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
    gain: float | None = None
    min_metrics_exceeding: Annotated[int, Field(ge=1)] | None = None


class View(Payload):
    """One way to look back: how many blocks are tested, after which gap, against how many misses.

    ``blocks`` are forecast from the reference that ends ``gap`` blocks before
    them; ``errors`` earlier misses of the same forecaster are remembered.
    """

    name: Text
    blocks: Annotated[int, Field(ge=1, le=64)]
    gap: Annotated[int, Field(ge=0, le=256)]
    errors: Annotated[int, Field(ge=1, le=1024)]


Direction = Literal["two_sided", "rise", "fall", "stall"]
"""What counts against a metric: any change, a rise, a fall, or standing at exactly zero."""


class ForecastPlan(Payload):
    """A forecasting gate: all that its decisions depend on, besides the metrics themselves.

    ``window``, ``block``, ``metric_interval``, ``warmup`` and ``level_from`` are in
    iterations, ``reference`` in blocks, ``hold`` in windows; ``warn_z`` and
    ``fail_z`` are in standard deviations of the forecast's miss.
    """

    preset: Text
    policy: Literal["forecast_z_max", "forecast_z_persistence"]
    engine: Literal["forecast_z/1"]
    window: Annotated[int, Field(ge=1)]
    block: Annotated[int, Field(ge=1)]
    metric_interval: Annotated[int, Field(ge=1)]
    warmup: Count
    reference: Annotated[int, Field(ge=4, le=256)]
    views: Annotated[list[View], Field(min_length=1, max_length=8)]
    min_errors: Annotated[int, Field(ge=1, le=1024)]
    metrics: dict[str, Direction]
    level: Text | None
    level_from: Count
    warn_z: NonNegative
    fail_z: NonNegative
    persistence: Annotated[int, Field(ge=1)]
    hold: Annotated[int, Field(ge=1)]
    min_evidence: Count


class Injection(Payload):
    """A fault that the run is told to inflict on itself, and from when to when."""

    kind: Text
    at: Count
    length: Count | None
    fraction: Annotated[float, Field(ge=0, le=1)] | None
    factor: NonNegative | None


class Distributed(Payload):
    """Over how many processes the training is spread; the recording one is ``rank``."""

    distributed_mode: Literal["single_process", "replicated_single_chief_emit", "ddp_wrapped"]
    world_size_observed: Annotated[int, Field(ge=1)]
    backend: Text | None
    rank: Count
    local_rank: Count | None
    ddp_wrapped: bool


class DataSource(Payload):
    """The text that the runner trains on."""

    name: Text
    sha256: Hex64
    bytes: Count


class RunPlanned(Payload):
    """The runner commits to its plan before step 0.

    ``overrides`` names each gate control that departs from the preset, with its value.
    """

    gate: GatePlan | ForecastPlan
    max_iters: Count
    seed: Count
    model: dict[str, int | float | str | bool]
    data: DataSource
    overrides: dict[str, int | float | str | bool | None] = Field(default_factory=dict)
    injection: Injection | None = None
    distributed: Distributed | None = None


class RunResumed(Payload):
    """The run goes on from weights that an earlier run of this ledger saved.

    ``head`` is where this ledger stood when they were saved.
    """

    from_run: Text
    iter: Count
    sha256: Hex64
    head_size: Count
    head_hash: Hex64


class RunSaved(Payload):
    """Weights were saved: the digest is over the names, sizes and digests of the files."""

    iter: Count
    path: Text
    sha256: Hex64
    bytes: Count


class RunRank(Payload):
    """The ledger of another rank of this run, as it stood at the end."""

    rank: Count
    world_size: Annotated[int, Field(ge=1)]
    path: Text
    ledger: Hex64
    size: Count
    hash: Hex64


class MetricObserved(Payload):
    """The metrics of one iteration; the gate's evidence is these and nothing else.

    ``loss`` is the mean over the iterations since the last observation.
    """

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


class Score(Payload):
    """The worst view of one metric, and its miss in standard deviations."""

    view: Text
    z: NonNegative


class Forecast(Payload):
    """How a forecasting gate came to its decision.

    ``metric`` drove it. ``history`` counts the accepted blocks before the window,
    ``held`` the windows that failed in a row before it, ``regime`` how often the
    history was begun anew.
    """

    metric: Text | None
    view: Text | None
    z: NonNegative | None
    scores: dict[str, Score]
    regime: Count
    held: Count
    history: Count


class GateChecked(Payload):
    """One evaluation of the training gate.

    ``evidence`` is a histogram gate's; a forecasting gate's is the metrics
    observed so far, and ``forecast`` is what it made of them.
    """

    iter: Count
    decision: Decision
    audit: Audit
    evidence: dict[str, Evidence]
    forecast: Forecast | None = None


class GateAnchored(Payload):
    """The runner declares a change that is no fault, other data say: history begins anew."""

    iter: Count
    reason: Text


class FaultInjected(Payload):
    """The runner began to corrupt its own input, as its plan or its user asked."""

    iter: Count
    kind: Text
    fraction: Annotated[float, Field(ge=0, le=1)]
    factor: NonNegative | None = None


class RunFinished(Payload):
    """The runner's own last word; the wrapper's ``run.closed`` says how the process ended.

    ``overhead_s`` is how many seconds went into metrics, gate and recording.
    """

    iters: Count
    final_loss: Number | None
    overhead_s: NonNegative | None = None
    stopped: Text | None = None


class RunClosed(Payload):
    """The runner's process has ended: the second witness speaks.

    ``reason`` says why the wrapper ended it, or did not start it.
    """

    status: RunStatus
    exit_code: Annotated[int, Field(ge=0, le=255)] | None
    signal: str | None
    wall_s: NonNegative
    reason: Text | None = None


class ArtifactRecorded(Payload):
    """A file of the run directory, as it stood when the run was closed.

    ``projection`` and ``at`` are set when the file is a projection of the first
    ``at`` entries, and ``null`` when the runner or the wrapper wrote it. A symbolic link
    has the ``media_type`` ``inode/symlink``; its ``sha256`` and ``bytes`` are those of its
    text, the path it points to. It is never followed.
    """

    path: Text
    sha256: Hex64
    bytes: Count
    media_type: Text
    projection: str | None
    at: Count | None
