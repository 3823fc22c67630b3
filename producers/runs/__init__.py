"""Runs: the wrapper that witnesses a process, and the session that the process records with."""

from producers.runs.abandoned import close_abandoned
from producers.runs.files import SENTINELS, claim_outdir
from producers.runs.follow import Follow
from producers.runs.preflight import missing_for
from producers.runs.redact import known_secrets, mask_all
from producers.runs.runners import preset_among
from producers.runs.session import Session, attach
from producers.runs.witness import Finalize
from producers.runs.wrapper import RunOutcome, RunSpec, new_run_id, run

__all__ = [
    "SENTINELS",
    "Finalize",
    "Follow",
    "RunOutcome",
    "RunSpec",
    "Session",
    "attach",
    "claim_outdir",
    "close_abandoned",
    "known_secrets",
    "mask_all",
    "missing_for",
    "new_run_id",
    "preset_among",
    "run",
]
