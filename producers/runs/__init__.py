"""Runs: the wrapper that witnesses a process, and the session that the process records with."""

from producers.runs.files import SENTINELS, claim_outdir
from producers.runs.session import Session, attach
from producers.runs.witness import Finalize
from producers.runs.wrapper import RunOutcome, RunSpec, new_run_id, run

__all__ = [
    "SENTINELS",
    "Finalize",
    "RunOutcome",
    "RunSpec",
    "Session",
    "attach",
    "claim_outdir",
    "new_run_id",
    "run",
]
