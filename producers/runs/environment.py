"""What is written down about the machine and the process before a run starts.

Only allow-listed variables are captured, and of these the secret ones are
masked (``producers.runs.redact``); the whole environment is never dumped.
Everything here is best effort: a fact that cannot be had is ``None``, and
never a reason not to run.
"""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from json import dumps
from pathlib import Path
from typing import Any

from producers.runs.determinism import determinism as describe
from producers.runs.files import write_atomically
from producers.runs.redact import (
    DENY_EXACT,
    DENY_REGEX,
    known_secrets,
    mask_all,
    redact_argv,
    redact_env,
)

DISTRIBUTION = "evidence-ledger"
ENVIRONMENT_NAME = "environment.txt"

ALLOWLIST = (
    "VERISCOPE_*",
    "LEDGER_*",
    "CUBLAS_*",
    "CUDA_*",
    "CUDNN_*",
    "NANOGPT_*",
    "NCCL_*",
    "SLURM_*",
    "TORCH_*",
    "GROUP_RANK",
    "HF_DATASETS_OFFLINE",
    "HF_HOME",
    "HF_HUB_DISABLE_TELEMETRY",
    "HF_HUB_OFFLINE",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_CUDA_ALLOC_CONF",
    "RANK",
    "TOKENIZERS_PARALLELISM",
    "TRANSFORMERS_CACHE",
    "TRANSFORMERS_OFFLINE",
    "WORLD_SIZE",
)
_GIT_TIMEOUT_S = 5.0
_CUDA_TIMEOUT_S = 30.0
_EVENT_ROOM = 18_000  # of the 65 535 bytes of an entry, for the arguments, and as much for env
_WRAPPER_ROOM = 6_000
_EVENT_TEXT = 2_000
_EVENT_NAME = 100
_CUDA_QUESTION = "import torch; print(torch.cuda.is_available())"
_TORCH_FACT = re.compile(r"^(__version__|cuda|hip)[^=]*= *(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What was captured of one run's circumstances; nothing in it is a secret.

    ``secrets`` is the exception: the values that were masked, for the masking
    of the output. It is never written, and not shown by ``repr``.
    """

    argv: tuple[str, ...]
    runner_words: int
    wrapper_argv: tuple[str, ...]
    env: Mapping[str, str]
    redactions_applied: bool
    git_sha: str | None
    git_dirty: bool | None
    package: str
    packages: str | None
    determinism: Mapping[str, Any]
    secrets: frozenset[str]

    def __repr__(self) -> str:
        """Show no field: one of them holds secrets."""
        return "Provenance(...)"

    def shown(self, text: str) -> str:
        """Return *text* without the secrets that are known, and as a payload can hold it."""
        return _clean(mask_all([text], self.secrets))[0]

    def env_capture(self) -> dict[str, Any]:
        """Return the rules of the capture, as the seed's section 4A names them."""
        return {
            "allowlist": list(ALLOWLIST),
            "deny_exact": list(DENY_EXACT),
            "deny_regex": list(DENY_REGEX),
            "redactions_applied": self.redactions_applied,
        }

    def opened(
        self, *, kind: str, outdir: Path, runner_key: str, gate_preset: str | None = None
    ) -> dict[str, Any]:
        """Return the payload of ``run.opened``."""
        argv = _fit(self.argv, _EVENT_ROOM)
        return {
            "kind": self.shown(kind),
            "argv": argv,
            "outdir": self.shown(str(outdir)),
            "runner_key": runner_key,
            "package": {"name": DISTRIBUTION, "version": self.package},
            "python": platform.python_version(),
            "platform": platform.platform(),
            "git": {"sha": self.git_sha, "dirty": self.git_dirty},
            "env": dict(zip(self.env, _fit(tuple(self.env.values()), _EVENT_ROOM), strict=False)),
            "env_capture": self.env_capture(),
            "gate_preset": None if gate_preset is None else self.shown(gate_preset),
            "runner_cmd": argv[: self.runner_words],
            "wrapper_argv": _fit(self.wrapper_argv, _WRAPPER_ROOM),
            "determinism": dict(self.determinism),
            "dependencies": self._dependencies(),
        }

    def write(self, outdir: Path) -> None:
        """Write ``environment.txt``, if there is one, into a run directory.

        Raises:
            StoreError: The disk refused.
        """
        if self.packages is not None:
            write_atomically(outdir / ENVIRONMENT_NAME, self.packages.encode())

    def _dependencies(self) -> dict[str, Any]:
        if self.packages is None:
            notes = ["the installed distributions could not be listed"]
            return {"method": "unavailable", "path": None, "notes": notes}
        notes = ["from installed metadata, of the interpreter that runs the wrapper"]
        return {"method": "pip_freeze", "path": ENVIRONMENT_NAME, "notes": notes}


def capture(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    runner_words: int = 0,
    determinism: Mapping[str, Any] | None = None,
) -> Provenance:
    """Capture the circumstances of a run that is about to start in *cwd*.

    The first *runner_words* of *argv* are the runner itself, the rest are its arguments.
    """
    wrapper = redact_argv(sys.argv)
    runner = redact_argv(argv)
    allowed = {name: env[name] for name in sorted(env) if _is_allowed(name)}
    captured, _ = redact_env(allowed)
    # Variables that are not captured still hold secrets which the runner could print.
    secrets = known_secrets(argv, env) | known_secrets(sys.argv, {})
    masked = mask_all(tuple(captured.values()), secrets)
    sha, dirty = _git(cwd)
    return Provenance(
        argv=_clean(mask_all(runner.argv, secrets)),
        runner_words=runner_words,
        wrapper_argv=_clean(mask_all(wrapper.argv, secrets)),
        env=dict(zip(captured, _clean(masked), strict=True)),
        redactions_applied=masked != tuple(allowed.values()),
        git_sha=sha,
        git_dirty=dirty,
        package=_version(DISTRIBUTION) or "0+unknown",
        packages=_environment_text(secrets),
        determinism=determinism or describe(env, strict=False, own_threads=False),
        secrets=secrets,
    )


def environment_text() -> str:
    """Return ``environment.txt``: interpreter, platform, torch and installed distributions.

    Names and versions come from installed metadata. ``pip freeze`` would print
    the URLs that packages came from, and those can hold a password. torch is not
    imported; of a build for GPUs, another process asks whether it finds one.
    """
    found = {(dist.metadata["Name"] or "?", dist.version) for dist in metadata.distributions()}
    lines = [
        f"python: {' '.join(sys.version.split())}",
        f"executable: {sys.executable}",
        f"platform: {platform.platform()}",
        f"machine: {platform.machine()}",
        *(f"{name}: {value}" for name, value in _torch_facts().items()),
        "",
        *(f"{name}=={version}" for name, version in sorted(found, key=lambda d: d[0].lower())),
    ]
    return "\n".join(lines) + "\n"


def _environment_text(secrets: frozenset[str]) -> str | None:
    try:
        return mask_all([environment_text()], secrets)[0]
    except Exception:  # noqa: BLE001 - other people's metadata: never a reason not to run
        return None


def _torch_facts() -> dict[str, str]:
    """Return what torch says of itself in ``torch/version.py``, which is read and not run."""
    version = _version("torch")
    if version is None:
        return {"torch": "not installed"}
    try:
        spec = find_spec("torch")
        places = (spec.submodule_search_locations if spec else None) or []
        text = next((Path(place) / "version.py").read_text("utf-8") for place in places)
    except (OSError, ValueError, StopIteration):
        return {"torch": version}
    said = {name: value.strip("'\" ") for name, value in _TORCH_FACT.findall(text)}
    cuda, hip = said.get("cuda", "None"), said.get("hip", "None")
    built = (cuda, hip) != ("None", "None")
    return {
        "torch": said.get("__version__", version),
        "torch.version.cuda": cuda,
        "torch.cuda.is_available": _asked() if built else "False",
    }


def _asked() -> str:
    answer = _says([sys.executable, "-c", _CUDA_QUESTION], timeout=_CUDA_TIMEOUT_S)
    return answer or "not known"


def _is_allowed(name: str) -> bool:
    return any(
        name.startswith(rule[:-1]) if rule.endswith("*") else name == rule for rule in ALLOWLIST
    )


def _clean(texts: Sequence[str]) -> tuple[str, ...]:
    # Arguments and variables are bytes to the system; JSON holds no lone surrogates and
    # the ledger no U+0000.
    return tuple(
        os.fsencode(text).decode("utf-8", "backslashreplace").replace("\0", "\\x00")
        for text in texts
    )


def _fit(texts: Sequence[str], room: int) -> list[str]:
    """Shorten what would not fit into an entry (section 2)."""
    shown: list[str] = []
    for text in texts:
        if len(text) > _EVENT_TEXT:
            cut = len(text) - _EVENT_TEXT
            text = f"{text[:_EVENT_TEXT]}… ({cut} more characters)"  # noqa: PLW2901 - the shown form
        room -= len(dumps(text)) + _EVENT_NAME
        if room < 0:
            shown.append(f"… ({len(texts) - len(shown)} more)")
            break
        shown.append(text)
    return shown


def _git(cwd: Path) -> tuple[str | None, bool | None]:
    sha = _git_says(cwd, "rev-parse", "--verify", "HEAD")
    if sha is None:
        return None, None
    status = _git_says(cwd, "status", "--porcelain", "--untracked-files=no")
    return sha, None if status is None else status != ""


def _git_says(cwd: Path, *arguments: str) -> str | None:
    # Without optional locks: looking at a repository must not write to it.
    command = ["git", "--no-optional-locks", "-C", str(cwd), *arguments]
    return _says(command, timeout=_GIT_TIMEOUT_S)


def _says(command: list[str], *, timeout: float) -> str | None:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
