"""An independent verifier of evidence ledgers, written from the page that describes them.

It shares no code with the writer and needs nothing but the standard library, msgspec and
cryptography. ``verify_path`` judges a ledger or a run directory as a whole; ``verify``
is the reading half on its own: bytes in, findings out.
"""

from verifier.core import KeyState, Reading, Witness, verify
from verifier.findings import Finding, Findings
from verifier.policy import Policy
from verifier.run import NoLedgerError, verify_path
from verifier.verdict import Verdict

__all__ = [
    "Finding",
    "Findings",
    "KeyState",
    "NoLedgerError",
    "Policy",
    "Reading",
    "Verdict",
    "Witness",
    "verify",
    "verify_path",
]
