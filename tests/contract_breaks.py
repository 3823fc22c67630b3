"""Ways to break a capsule of ``contracts``, named by what they do."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import contracts
from contracts import Capsule

from verifier.contract import FULL, Options

FREE = Options()
IDENTITY = Options(strict_identity=True)
GOVERNED = Options(strict_governance=True)
PARTIAL = Options(allow_partial=True)
STRICT = replace(FULL, allow_partial=False)

Break = Callable[[Capsule], None]


def results(capsule: Capsule) -> dict[str, Any]:
    assert capsule.results is not None
    return capsule.results


def both(capsule: Capsule) -> tuple[dict[str, Any], dict[str, Any]]:
    return results(capsule), capsule.summary


def into(place: str, value: object) -> Break:
    """Set a member, named by dots: ``results.gates.0.iter``."""

    def change(capsule: Capsule) -> None:
        first, *path = place.split(".")
        target: Any = getattr(capsule, first)
        for name in path[:-1]:
            target = target[int(name)] if isinstance(target, list) else target[name]
        last = path[-1]
        target[int(last) if isinstance(target, list) else last] = value

    return change


def without(place: str) -> Break:
    def change(capsule: Capsule) -> None:
        first, *path = place.split(".")
        target: Any = getattr(capsule, first)
        for name in path[:-1]:
            target = target[int(name)] if isinstance(target, list) else target[name]
        del target[path[-1]]

    return change


def together(*breaks: Break) -> Break:
    def change(capsule: Capsule) -> None:
        for each in breaks:
            each(capsule)

    return change


def gone(name: str) -> Break:
    return lambda capsule: capsule.after.append(lambda outdir: (outdir / name).unlink())


def holding(name: str, content: bytes) -> Break:
    def write(outdir: Path) -> None:
        (outdir / name).write_bytes(content)

    return lambda capsule: capsule.after.append(write)


def judged(**members: Any) -> Break:
    def change(capsule: Capsule) -> None:
        capsule.judgement = contracts.judgement(**members)

    return change


def logged(number: int, entry: dict[str, Any]) -> Break:
    return lambda capsule: capsule.log.insert(number, entry)


def unlogged(number: int) -> Break:
    def change(capsule: Capsule) -> None:
        del capsule.log[number]

    return change


def spread(**members: Any) -> Break:
    return lambda capsule: capsule.log.__setitem__(0, contracts.started(distributed=members))


@dataclass(frozen=True)
class Case:
    name: str
    change: Break
    message: str
    options: Options = FREE
    error: str = ""
    base: Callable[[], Capsule] = contracts.capsule
