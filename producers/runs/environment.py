"""What is written down about the machine and the process before a run starts.

Only allow-listed variables are captured, and of these the secret ones are
masked (``producers.runs.redact``); the whole environment is never dumped.
Everything here is best effort: a fact that cannot be had is ``None``, and
never a reason not to run.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from json import dumps
from pathlib import Path
from typing import Any

from producers.runs.redact import (
    DENY_EXACT,
    DENY_REGEX,
    mask_all,
    names_a_secret,
    redact_argv,
    redact_env,
)

DISTRIBUTION = "evidence-ledger"

ALLOWLIST = (
    "VERISCOPE_*",
    "LEDGER_*",
    "CUDA_*",
    "SLURM_*",
    "CUBLAS_WORKSPACE_CONFIG",
    "LOCAL_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTHONHASHSEED",
    "RANK",
    "WORLD_SIZE",
)
_GIT_TIMEOUT_S = 5.0
_EVENT_ROOM = 24_000  # of the 65 535 bytes of an entry, for the arguments, and as much for env
_EVENT_TEXT = 2_000
_EVENT_NAME = 100


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was captured of one run's circumstances; nothing in it is a secret.

    ``secrets`` is the exception: the values that were masked, for the masking
    of the output. It is never written, and not shown by ``repr``.
    """

    argv: tuple[str, ...]
    wrapper_argv: tuple[str, ...]
    env: Mapping[str, str]
    redactions_applied: bool
    git_sha: str | None
    git_dirty: bool | None
    package: str
    secrets: frozenset[str]

    def __repr__(self) -> str:
        """Show no field: one of them holds secrets."""
        return "Provenance(...)"

    def env_capture(self) -> dict[str, Any]:
        """Return the rules of the capture, as the seed's section 4A names them."""
        return {
            "allowlist": list(ALLOWLIST),
            "deny_exact": list(DENY_EXACT),
            "deny_regex": list(DENY_REGEX),
            "redactions_applied": self.redactions_applied,
        }

    def opened(self, *, kind: str, outdir: Path, runner_key: str) -> dict[str, Any]:
        """Return the payload of ``run.opened``."""
        return {
            "kind": kind,
            "argv": _fit(self.argv),
            "outdir": mask_all([str(outdir)], self.secrets)[0],
            "runner_key": runner_key,
            "package": {"name": DISTRIBUTION, "version": self.package},
            "python": platform.python_version(),
            "platform": platform.platform(),
            "git": {"sha": self.git_sha, "dirty": self.git_dirty},
            "env": dict(zip(self.env, _fit(tuple(self.env.values())), strict=False)),
            "env_capture": self.env_capture(),
        }

    def resolved_config(
        self, *, kind: str, run_id: str, outdir: Path, ts_utc: str
    ) -> dict[str, Any]:
        """Return the content of ``run_config_resolved.json`` (the seed's section 4A)."""
        notes = ["dirty"] if self.git_dirty else []
        return {
            "schema_version": 1,
            "ts_utc": ts_utc,
            "package": {"name": DISTRIBUTION, "version": self.package},
            "git_sha": self.git_sha,
            "notes": notes,
            "run": {
                "kind": kind,
                "run_id": run_id,
                "outdir": mask_all([str(outdir)], self.secrets)[0],
            },
            "argv": {"veriscope_argv": list(self.wrapper_argv), "runner_cmd": list(self.argv)},
            "env": dict(self.env),
            "env_capture": self.env_capture(),
            "determinism_status": determinism_status(self.env),
            "dependencies": {
                "method": "unavailable",
                "path": "environment.txt",
                "notes": ["listed from installed metadata; pip is not run"],
            },
        }


def capture(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> Provenance:
    """Capture the circumstances of a run that is about to start in *cwd*."""
    runner = redact_argv(argv)
    wrapper = redact_argv(sys.argv)
    allowed = {name: env[name] for name in sorted(env) if _is_allowed(name)}
    captured, found = redact_env(allowed)
    # Variables that are not captured still hold secrets which the runner could print.
    hidden = {value for name, value in env.items() if names_a_secret(name)}
    secrets = runner.secrets | wrapper.secrets | found | hidden
    shown = tuple(captured.values())
    masked = mask_all(shown, secrets)
    sha, dirty = _git(cwd)
    return Provenance(
        argv=_clean(mask_all(runner.argv, secrets)),
        wrapper_argv=_clean(mask_all(wrapper.argv, secrets)),
        env=dict(zip(captured, _clean(masked), strict=True)),
        redactions_applied=masked != tuple(allowed.values()),
        git_sha=sha,
        git_dirty=dirty,
        package=_version(DISTRIBUTION) or "0+unknown",
        secrets=secrets,
    )


def environment_text() -> str:
    """Return ``environment.txt``: interpreter, platform and installed distributions.

    Names and versions come from installed metadata. ``pip freeze`` would print
    the URLs that packages came from, and those can hold a password.
    """
    found = {(dist.metadata["Name"] or "?", dist.version) for dist in metadata.distributions()}
    lines = [
        f"python: {' '.join(sys.version.split())}",
        f"executable: {sys.executable}",
        f"platform: {platform.platform()}",
        f"machine: {platform.machine()}",
        f"torch: {_version('torch') or 'not installed'}",
        "",
        *(f"{name}=={version}" for name, version in sorted(found, key=lambda d: d[0].lower())),
    ]
    return "\n".join(lines) + "\n"


def determinism_status(env: Mapping[str, str]) -> dict[str, Any]:
    """Return what the environment says about determinism; what torch did is not known here."""
    return {
        "pyhashseed_ok": env.get("PYTHONHASHSEED", "").isdecimal(),
        "cublas_config_ok": env.get("CUBLAS_WORKSPACE_CONFIG") in {":16:8", ":4096:8"},
        "notes": ["read from the environment; the runner's own settings are in run.planned"],
    }


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


def _fit(texts: Sequence[str]) -> list[str]:
    """Shorten what would not fit into an entry (section 2); the file has all of it."""
    shown: list[str] = []
    room = _EVENT_ROOM
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
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=_GIT_TIMEOUT_S,
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
