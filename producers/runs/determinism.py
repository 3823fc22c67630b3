"""Whether the runner's environment is set up so that a run can be repeated.

Three things must be settled before a process starts: the order of Python's sets
and dictionaries of strings (``PYTHONHASHSEED``), the work space of cuBLAS, where
there is a GPU, and the number of threads among which sums are split. What a
program does after its start (``torch.use_deterministic_algorithms``) is its own.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ledger.errors import MisuseError

_CUBLAS = frozenset({":16:8", ":4096:8"})  # NVIDIA's cuBLAS guide, "Results reproducibility"
_MOST_HASH_SEED = 2**32 - 1
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_DEVICES = Path("/dev")
_NO_GPU = frozenset({"", "-1", "NoDevFiles"})


def determinism(
    env: Mapping[str, str], *, strict: bool, own_threads: bool, devices: Path = _DEVICES
) -> dict[str, Any]:
    """Return ``run.opened``'s ``determinism``; ``None`` in it is not applicable, or not known.

    *own_threads* says that the runner sets its number of threads by itself;
    *devices* is where the system lists its GPUs.
    """
    notes = [] if own_threads or _threads_ok(env) else [f"{' and '.join(_THREADS)} are not set"]
    notes.append("what the runner itself set is not known here")
    gpu = has_gpu(env, devices)
    return {
        "strict": strict,
        "pyhashseed_ok": _hash_seed_ok(env),
        "cublas_config_ok": _cublas_ok(env) if gpu else None,
        "cudnn_deterministic": None,
        "notes": notes,
    }


def require_determinism(
    env: Mapping[str, str], *, own_threads: bool, devices: Path = _DEVICES
) -> None:
    """Refuse an environment in which a run cannot be repeated.

    Raises:
        MisuseError: Something is not set, or not so that it helps; the message says how.
    """
    faults = []
    if not _hash_seed_ok(env):
        found = env.get("PYTHONHASHSEED")
        faults.append(f"PYTHONHASHSEED is {_shown(found)}: export PYTHONHASHSEED=0")
    if has_gpu(env, devices) and not _cublas_ok(env):
        found = env.get("CUBLAS_WORKSPACE_CONFIG")
        wanted = "export CUBLAS_WORKSPACE_CONFIG=:4096:8"
        faults.append(f"CUBLAS_WORKSPACE_CONFIG is {_shown(found)}: {wanted}")
    if not own_threads and not _threads_ok(env):
        faults.append(
            "neither OMP_NUM_THREADS nor MKL_NUM_THREADS is set: export OMP_NUM_THREADS=1"
        )
    if faults:
        raise MisuseError(f"--strict-determinism: {'; '.join(faults)}")


def has_gpu(env: Mapping[str, str], devices: Path = _DEVICES) -> bool:
    """Tell whether the runner will see an NVIDIA GPU; torch is not asked."""
    if env.get("CUDA_VISIBLE_DEVICES", "0") in _NO_GPU:
        return False
    return any(devices.glob("nvidia[0-9]*"))


def _hash_seed_ok(env: Mapping[str, str]) -> bool:
    value = env.get("PYTHONHASHSEED", "")
    return re.fullmatch("[0-9]{1,10}", value) is not None and int(value) <= _MOST_HASH_SEED


def _cublas_ok(env: Mapping[str, str]) -> bool:
    return env.get("CUBLAS_WORKSPACE_CONFIG") in _CUBLAS


def _threads_ok(env: Mapping[str, str]) -> bool:
    return any(re.fullmatch("[1-9][0-9]{0,3}", env.get(name, "")) for name in _THREADS)


def _shown(value: str | None) -> str:
    return "not set" if value is None else ascii(value[:40])
