"""What a validation is asked for, what it has read so far, and what it found."""

from dataclasses import dataclass, field
from typing import Any

from verifier.contract.capsule import Capsule
from verifier.contract.documents import Judgement, Results, Summary
from verifier.contract.governance import EMPTY, Log

__all__ = ["FULL", "InvalidError", "Options", "State", "Validation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked for. *attested* is explained at ``binding.Binding``."""

    allow_partial: bool = False
    strict_identity: bool = False
    require_governance: bool = False
    strict_governance: bool = False
    allow_legacy_governance: bool = False
    attested: frozenset[str] = frozenset()


FULL = Options(
    allow_partial=True, strict_identity=True, require_governance=True, strict_governance=True
)
"""What ``diff``, ``report --compare`` and ``calibrate`` ask for."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What was found; the documents are there as far as they could be read."""

    ok: bool
    message: str
    window_hash: str | None
    partial: bool
    warnings: tuple[str, ...]
    errors: tuple[str, ...]
    capsule: Capsule
    signature: dict[str, Any]
    results: Results | None
    summary: Summary | None
    log: Log
    config: dict[str, Any] | None

    @property
    def line(self) -> str:
        """Return the line that is printed."""
        if self.ok:
            return f"OK window_signature_hash={self.window_hash}"
        return f"INVALID: {self.message}"


class InvalidError(Exception):
    """A check does not hold."""


@dataclass(slots=True)
class State:
    """What the checks so far have read, and what the next ones need."""

    capsule: Capsule
    options: Options
    signature: dict[str, Any] = field(default_factory=dict)
    window_hash: str | None = None
    results: Results | None = None
    summary: Summary | None = None
    judgement: Judgement | None = None
    log: Log = EMPTY
    config: dict[str, Any] | None = None
    partial: bool = False
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def told(self) -> Summary:
        """The summary, which is there once the schemas hold."""
        if self.summary is None:
            raise AssertionError("the summary is read before anything is compared")
        return self.summary

    def token(self, text: str, message: str | None = None) -> InvalidError:
        """Return the error of a token, to be raised."""
        self.errors.append(f"ERROR:{text}")
        return InvalidError(message or f"ERROR:{text}")
