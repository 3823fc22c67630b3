"""What a capsule says of the processes that its training was spread over."""

from collections.abc import Mapping
from typing import Any

from verifier.contract.governance import RUN_STARTED, Log

__all__ = ["MODES", "detected", "fault", "metadata", "mismatch"]

MODES = ("ddp_wrapped", "replicated_single_chief_emit", "single_process")
_HINTS = (
    "rank",
    "rank_observed",
    "local_rank",
    "local_rank_observed",
    "backend",
    "ddp_backend",
    "ddp_wrapped",
    "ddp_active",
)


def metadata(log: Log) -> Mapping[str, Any] | None:
    """Return the block of the last ``run_started_v1`` that has one."""
    blocks = [entry.payload.get("distributed") for entry in log.of(RUN_STARTED)]
    return next((block for block in reversed(blocks) if isinstance(block, dict)), None)


def fault(block: Mapping[str, Any] | None) -> str | None:
    """Return the token, with its words, of what the block leaves open, if anything."""
    if block is None:
        return None
    hints = [name for name in _HINTS if block.get(name) is not None]
    size, mode = _size(block), _mode(block)
    if size is None and hints:
        said = f"hints_present={hints!r} distributed execution hints require world_size_observed"
        return f"DISTRIBUTED_WORLD_SIZE_MISSING {said}"
    if size is None or size <= 1:
        return None
    if mode is None:
        said = f"world_size_observed={size} requires distributed_mode"
        return f"DISTRIBUTED_MODE_MISSING {said}"
    if mode not in MODES:
        return f"DISTRIBUTED_MODE_INVALID distributed_mode={mode!r} allowed={[*MODES]!r}"
    return None


def detected(block: Mapping[str, Any] | None) -> str | None:
    """Return ``mode=… world_size=… backend=…`` of a run of several processes."""
    if block is None:
        return None
    size, mode = _size(block), _mode(block)
    if mode == "single_process" and (size is None or size <= 1):
        return None
    return " ".join(f"{name}={value}" for name, value in _shown(block).items())


def mismatch(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> str | None:
    """Return the warning that two runs were spread differently, if both say how."""
    if a is None or b is None or _shown(a) == _shown(b):
        return None
    first, second = (",".join(f"{n}={v}" for n, v in _shown(block).items()) for block in (a, b))
    return f"WARNING:DISTRIBUTED_METADATA_MISMATCH A({first}) B({second})"


def _shown(block: Mapping[str, Any]) -> dict[str, object]:
    backend = block.get("backend")
    backend = block.get("ddp_backend") if backend is None else backend
    found = {"mode": _mode(block), "world_size": _size(block), "backend": backend}
    return {name: "unknown" if value is None else value for name, value in found.items()}


def _size(block: Mapping[str, Any]) -> int | None:
    size = block.get("world_size_observed")
    return size if isinstance(size, int) and not isinstance(size, bool) else None


def _mode(block: Mapping[str, Any]) -> str | None:
    mode = block.get("distributed_mode")
    return (mode.strip() or None) if isinstance(mode, str) else None
