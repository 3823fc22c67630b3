"""The run contract, version 1, as files: read a capsule, validate it, compare two.

Written from the contract's documents alone (docs/reference/contract.md). It looks at
no ledger: a capsule of any tool can be validated, and what a ledger adds is
``verifier.verify_path``'s to say.
"""

from verifier.contract.capsule import Capsule, read_capsule
from verifier.contract.comparable import Comparability, RunHeader, comparable, header_of
from verifier.contract.overlay import Overlay, overlay_of
from verifier.contract.validate import FULL, Options, Validation, validate, validate_path

__all__ = [
    "FULL",
    "Capsule",
    "Comparability",
    "Options",
    "Overlay",
    "RunHeader",
    "Validation",
    "comparable",
    "header_of",
    "overlay_of",
    "read_capsule",
    "validate",
    "validate_path",
]
