"""What the caller trusts from outside: the ledger's id, and checkpoints (format.md section 6)."""

from verifier.findings import Findings
from verifier.notes import Checkpoint, MalformedNote, key_hint, parse_checkpoint
from verifier.policy import Policy
from verifier.register import OWNER, Register

__all__ = ["Anchors"]


class Anchors:
    """The trusted checkpoints that still lie ahead, and those that were met."""

    def __init__(self, policy: Policy, findings: Findings) -> None:
        """Parse what *policy* trusts; a note that is malformed is a finding at once."""
        self._policy = policy
        self._findings = findings
        self._ahead: list[Checkpoint] = []
        self._held: list[int] = []
        self._failed = False
        for note in policy.checkpoints:
            try:
                self._ahead.append(parse_checkpoint(note))
            except MalformedNote as error:
                self._report("anchor.checkpoint", f"a trusted checkpoint is malformed: {error}")
        self._ahead.sort(key=lambda checkpoint: checkpoint.size, reverse=True)

    @property
    def next_size(self) -> int:
        """The size of the next checkpoint to be met, 0 if there is none."""
        return self._ahead[-1].size if self._ahead else 0

    @property
    def held(self) -> tuple[int, ...]:
        """The sizes of the checkpoints that the ledger extends."""
        return tuple(self._held)

    @property
    def anchored(self) -> bool:
        """Whether something was trusted, and all of it held."""
        return not self._failed and (self._policy.ledger_id is not None or bool(self._held))

    def meet(
        self, register: Register, *, ledger_id: str | None, root: bytes | None, signed: bool
    ) -> None:
        """Compare the checkpoints of the size just reached with the ledger at that size."""
        size = self.next_size
        while self.next_size == size and self._ahead:
            checkpoint = self._ahead.pop()
            fault = _fault(checkpoint, register, ledger_id=ledger_id, root=root, signed=signed)
            if fault is None:
                self._held.append(size)
            else:
                self._report("anchor.checkpoint", f"the checkpoint of size {size}: {fault}")

    def finish(self, ledger_id: str | None, size: int) -> None:
        """Report what was not met, and the id."""
        for checkpoint in reversed(self._ahead):
            why = "another origin" if checkpoint.ledger_id != ledger_id else f"it has {size}"
            self._report(
                "anchor.checkpoint",
                f"the ledger does not reach the checkpoint of size {checkpoint.size}: {why}",
            )
        policy = self._policy
        if policy.ledger_id is not None and policy.ledger_id != ledger_id:
            self._report(
                "anchor.id", f"the trusted id is {policy.ledger_id}, this ledger's is {ledger_id}"
            )
        if policy.strict and policy.ledger_id is None and not policy.checkpoints:
            self._report(
                "anchor.missing", "no trusted id or checkpoint: anyone could have made this ledger"
            )

    def _report(self, code: str, message: str) -> None:
        self._failed = True
        self._findings.add(code, None, None, message)


def _fault(
    checkpoint: Checkpoint,
    register: Register,
    *,
    ledger_id: str | None,
    root: bytes | None,
    signed: bool,
) -> str | None:
    if checkpoint.ledger_id != ledger_id:
        return "its origin is another ledger"
    if checkpoint.root != root:
        return "the ledger has another root at that size"
    if not signed:
        return "its last entry is not signed"
    return None if _is_signed(checkpoint, register) else "no key of the ledger valid then signed it"


def _is_signed(checkpoint: Checkpoint, register: Register) -> bool:
    """Tell whether a key with role owner or log, valid now, signed; a known one that did not fails.

    The four bytes are a hint: every key that has them is tried.
    """
    origin = checkpoint.origin
    keys = [key for key in register.keys.values() if register.has_role(key.id, OWNER, "log")]
    found = False
    for line in checkpoint.signatures:
        named = [key for key in keys if key_hint(origin, key.public.raw) == line.hint]
        if line.name != origin or not named:
            continue  # a witness, or a key that we do not know: C2SP has us ignore it
        if not any(key.public.accepts(line.signature, checkpoint.text) for key in named):
            return False
        found = True
    return found
