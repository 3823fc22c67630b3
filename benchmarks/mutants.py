"""Plant one fault after the other in a copy of the code, and demand that the tests find each.

Run from the repository's root: ``python benchmarks/mutants.py [--only TEXT] [--jobs N]``. The
faults are listed in ``mutants.toml``; the old text of each must stand in its file exactly
once, so a fault that the code has outgrown is reported, not passed over. A mutant is killed
when a test fails; a run that takes too long counts as killed, one that cannot start does not.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
PACKAGES = ("ledger", "verifier", "projections", "producers", "cli", "tests")
LIMIT_SECONDS = 300


@dataclass(frozen=True)
class Mutant:
    """One fault, and the tests that must find it."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def mutants() -> list[Mutant]:
    """Read the faults to plant from the list beside this script."""
    listed = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return [
        Mutant(one["file"], one["old"], one["new"], tuple(f"tests/{test}" for test in one["tests"]))
        for one in listed["mutant"]
    ]


@dataclass(frozen=True)
class Result:
    """What became of a mutant."""

    mutant: Mutant
    fate: str  # "killed", "LIVES", "STALE" or "BROKEN"
    seconds: float
    by: str


def copy_tree(folder: Path) -> Path:
    """Copy what the tests need into a folder of its own."""
    place = folder / "tree"
    place.mkdir()
    for name in PACKAGES:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


def run_tests(place: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """Run *tests* in the copy; return pytest's exit code and the test that failed first."""
    # No bytecode: a mutant of the same size and second as the last would not be seen.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(place)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--no-header",
        "--tb=no",
        *tests,
    ]
    try:
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, check=False,
            timeout=LIMIT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, "timeout"
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode, failed[0].split("::")[-1][:70] if failed else ""


def try_mutant(place: Path, subject: Mutant) -> Result:
    """Plant the fault, run the tests, take the fault out again."""
    begun = time.monotonic()
    file = place / subject.file
    text = file.read_text(encoding="utf-8")
    if text.count(subject.old) != 1:
        return Result(
            subject, "STALE", 0, f"the old text stands there {text.count(subject.old)} times"
        )
    file.write_text(text.replace(subject.old, subject.new), encoding="utf-8")
    try:
        code, by = run_tests(place, subject.tests)
    finally:
        file.write_text(text, encoding="utf-8")
    fate = {0: "LIVES", 1: "killed"}.get(code, "BROKEN")
    return Result(subject, fate, time.monotonic() - begun, by)


def main() -> int:
    """Plant them all and return 0 if every one was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose file or text contains this")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    chosen = [m for m in mutants() if options.only in m.file + m.old + m.new]
    with tempfile.TemporaryDirectory() as folder:
        places: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            home = Path(folder) / str(number)
            home.mkdir()
            places.put(copy_tree(home))

        def run(subject: Mutant) -> Result:
            place = places.get()
            try:
                return try_mutant(place, subject)
            finally:
                places.put(place)

        place = places.get()
        tests = tuple(sorted({test for m in chosen for test in m.tests}))
        code, by = run_tests(place, tests)
        places.put(place)
        if code:
            print(f"the tests do not pass without any mutant: {by}")
            return 3
        with ThreadPoolExecutor(options.jobs) as pool:
            results = [show(result) for result in pool.map(run, chosen)]
    killed = sum(result.fate == "killed" for result in results)
    print(f"{killed} of {len(results)} mutants killed")
    return 0 if killed == len(results) else 1


def show(result: Result) -> Result:
    """Print a row of the table."""
    old = " ".join(result.mutant.old.split())[:58]
    print(
        f"{result.fate:7}{result.seconds:5.0f} s  {result.mutant.file:26} {old:58}  {result.by}",
        flush=True,
    )
    return result


if __name__ == "__main__":
    raise SystemExit(main())
