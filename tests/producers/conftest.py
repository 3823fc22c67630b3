"""What the tests of the producers share: a capsule, and ways to run something in it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledger import Entry, Key, Ledger
from producers.gates import Metric, Plan

ROOT = Path(__file__).parents[2]
DRIVER = Path(__file__).with_name("drive_wrapper.py")
STORY = Path(__file__).with_name("tell_story.py")

SMALL_PLAN = Plan(
    preset="test",
    window=4,
    warmup=0,
    bins=4,
    metrics=(Metric("a", 0.0, 1.0, 0.25), Metric("b", 0.0, 10.0, 0.75)),
    epsilon=0.5,
    persistence=2,
    min_evidence=8,
)


@pytest.fixture
def plan() -> Plan:
    return SMALL_PLAN


@pytest.fixture
def key() -> Key:
    return Key.from_seed(bytes(range(32)), name="owner")


@pytest.fixture
def capsule(tmp_path: Path, key: Key) -> Path:
    """Return a run directory with a new ledger in it."""
    outdir = tmp_path / "capsule"
    outdir.mkdir()
    Ledger.create(outdir / "ledger.sqlite", name="test", key=key).close()
    return outdir


@pytest.fixture
def child_env() -> dict[str, str]:
    """Return an environment in which a child finds our packages, and no ledger of the caller's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LEDGER_")}
    paths = [str(ROOT), kept.get("PYTHONPATH", "")]
    return kept | {"PYTHONPATH": os.pathsep.join(p for p in paths if p)}


@pytest.fixture
def tell(child_env: dict[str, str]) -> Callable[..., list[str]]:
    """Return a maker of commands that run ``tell_story.py`` as the runner."""
    del child_env

    def command(*arguments: str) -> list[str]:
        return [sys.executable, str(STORY), *arguments]

    return command


@pytest.fixture
def drive(capsule: Path, child_env: dict[str, str]) -> Callable[..., "subprocess.Popen[bytes]"]:
    """Return a starter of real wrapper processes for the capsule."""

    def start(
        command: list[str], *, env: dict[str, str] | None = None, grace: float = 5.0, **options: Any
    ) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, str(DRIVER), str(capsule), str(grace), *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=child_env | (env or {}),
            cwd=ROOT,
            **options,
        )

    return start


@pytest.fixture
def entries(capsule: Path) -> Callable[[], list[Entry]]:
    """Return a reader of the capsule's whole ledger."""

    def read() -> list[Entry]:
        with Ledger.open(capsule) as book:
            return list(book.entries())

    return read


@pytest.fixture
def outcome(capsule: Path) -> Callable[[], dict[str, Any]]:
    """Return a reader of what the driver said of the run."""

    def read() -> dict[str, Any]:
        result: dict[str, Any] = json.loads(
            capsule.with_name("outcome.json").read_text(encoding="utf-8")
        )
        return result

    return read
