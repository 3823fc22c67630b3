"""Mount each attack on a copy, let the verifier judge it, and compare with what it should say."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cli.attacks.scene import Scene, Target
from verifier.policy import Policy
from verifier.run import verify_path
from verifier.verdict import Verdict


class Case(NamedTuple):
    """A mounted attack: where it lies, and what its reader has pinned."""

    path: Path
    target: Target
    with_checkpoint: bool = False


@dataclass(frozen=True)
class Attack:
    """One attack. Without *codes* nobody could see it, and the table says what would help."""

    name: str
    needs: str
    codes: frozenset[str]
    mount: Callable[[Scene, Path], Case | None]
    note: str = ""


class Result(NamedTuple):
    """How an attack went."""

    attack: Attack
    found: tuple[str, ...]
    exit_code: int | None
    caught: bool | None

    @property
    def missed(self) -> bool:
        """Whether the verifier should have seen it and did not."""
        return bool(self.attack.codes) and self.caught is False

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        attack = self.attack
        return {
            "attack": attack.name,
            "attacker_has": attack.needs,
            "expected": sorted(attack.codes),
            "found": list(self.found),
            "exit_code": self.exit_code,
            "caught": self.caught,
            "note": attack.note or None,
        }


class Bench:
    """Judges copies against what the untouched ledger gives."""

    def __init__(self, scene: Scene) -> None:
        """Judge nothing yet."""
        self._scene = scene
        self._before: dict[tuple[bytes, ...], Counter[str]] = {}

    def judge(self, attack: Attack) -> Result:
        """Mount one attack, and see what the verifier says."""
        with tempfile.TemporaryDirectory(dir=self._scene.room) as folder:
            case = attack.mount(self._scene, Path(folder))
            if case is None:
                return Result(attack, (), None, None)
            verdict = verify_path(case.path, _policy(case))
        fresh = _codes(verdict) - self._baseline(case)
        found = tuple(sorted(fresh))
        caught = verdict.exit_code != 0 and bool(attack.codes & fresh.keys())
        return Result(attack, found, verdict.exit_code, caught)

    def _baseline(self, case: Case) -> Counter[str]:
        """Count what the verifier finds in the ledger before anyone touched it."""
        if case.path.is_dir():
            return _codes(verify_path(self._scene.source, _policy(case)))
        lines = case.target.lines
        if lines not in self._before:
            path = self._scene.room / f"before-{len(self._before)}.jsonl"
            path.write_bytes(b"".join(lines))
            self._before[lines] = _codes(verify_path(path, _policy(case)))
        return self._before[lines]


def run_all(source: Path, *, watch: Callable[[int, int], None]) -> Iterator[Result]:
    """Mount the whole catalogue on copies of the ledger at *source*.

    Raises:
        MalformedError: The ledger has a fault before anyone attacked it.
        MisuseError: There is none, or it is too small.
    """
    from cli.attacks.catalogue import CATALOGUE

    with tempfile.TemporaryDirectory(prefix="ledger-attack-") as room:
        bench = Bench(Scene(source, Path(room)))
        for number, attack in enumerate(CATALOGUE, 1):
            yield bench.judge(attack)
            watch(number, len(CATALOGUE))


def _policy(case: Case) -> Policy:
    target = case.target
    notes = (target.checkpoint,) if case.with_checkpoint and target.checkpoint else ()
    return Policy(strict=True, ledger_id=target.ledger_id, checkpoints=notes, jobs=1)


def _codes(verdict: Verdict) -> Counter[str]:
    return Counter(dict(verdict.counts))
