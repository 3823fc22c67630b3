"""Plant one fault after the other in a copy of the code, and demand that the tests find each.

Run from the repository's root: ``python benchmarks/mutants.py [--only TEXT] [--jobs N]``. A mutant
is (file, old text, new text, tests): the old text must stand in the file exactly once,
so a mutant that the code has outgrown is reported, not passed over. A mutant is killed when a
test fails; a run that takes too long counts as killed, one that cannot start does not.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
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


def mutant(file: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(file, old, new, tuple(f"tests/{test}" for test in tests))


ENTRY = "ledger/test_entry.py"
REPLAY = "ledger/test_replay.py"
TAILS = "attacks/test_tails.py"
HISTORIES = "attacks/test_histories.py"
KEYS = "attacks/test_keys.py"
STORES = "attacks/test_stores.py"
LEDGER = "ledger/test_ledger.py"
RECOVERY = "ledger/test_recovery.py"
REGISTER = "ledger/test_register.py"
JSON = "ledger/test_strictjson.py"
ED = "ledger/test_ed25519.py"
VECTORS = "verifier/test_vectors.py"
DIFFERENTIAL = "property/test_differential.py"

MUTANTS = (
    # entries, lines, hashes (sections 1 to 3)
    mutant("ledger/entry.py", 'return hashlib.sha256(b"\\0" + raw).digest()',
           'return hashlib.sha256(b"\\1" + raw).digest()', ENTRY),
    mutant("ledger/entry.py", "if day > _DAYS[month - 1] or (", "if (", ENTRY),
    mutant("ledger/entry.py", "year % 100 != 0 or", "year % 100 == 0 or", ENTRY),
    mutant("ledger/entry.py", "{85}[AQgw]==", "{86}==", ENTRY),
    mutant("ledger/entry.py", "(len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(raw), raw)",
           "(len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(raw) + 1, raw)", ENTRY),
    mutant("ledger/entry.py", 'signed=part["signed"] == b"true"', "signed=signature is not None", ENTRY),
    mutant("ledger/entry.py", "    if len(raw) > MAX_ENTRY_BYTES:\n        raise MalformedError",
           "    if len(raw) > MAX_ENTRY_BYTES + 1:\n        raise MalformedError", ENTRY),
    # strict JSON
    mutant("ledger/strictjson.py", "if len(result) != len(pairs):", "if len(result) > len(pairs):", JSON),
    mutant("ledger/strictjson.py", "MAX_INTEGER = 2**53 - 1", "MAX_INTEGER = 2**53", JSON),
    mutant("ledger/strictjson.py", 'if digits == "-0" or', "if", JSON),
    mutant("ledger/strictjson.py", "MAX_DEPTH = 64", "MAX_DEPTH = 65", JSON),
    mutant("ledger/strictjson.py", "if _SURROGATE.search(item):", "if False:", JSON),
    # signatures and keys (sections 4 and 5)
    mutant("ledger/ed25519.py", "& (_SIGN_BIT - 1) in _SMALL_ORDER_Y:", "in _SMALL_ORDER_Y:", ED),
    mutant("ledger/ed25519.py", "if _is_identity(point) or not _is_identity(_multiply(_L, point)):",
           "if _is_identity(point):", KEYS),
    mutant("ledger/register.py", 'if event_type.startswith("key."):\n            return OWNER in key.roles',
           'if event_type.startswith("key.*"):\n            return OWNER in key.roles', REGISTER, KEYS),
    mutant("ledger/register.py", '_demand(not last, "the last owner cannot be revoked")', "", REGISTER),
    mutant("ledger/register.py", '        self.keys[old.id] = replace(old, state="rotated", since=seq)\n',
           "", REGISTER),
    mutant("ledger/register.py", "_demand(name not in taken,", "_demand(name or taken,", REGISTER),
    mutant("ledger/register.py", "return event_type.startswith(pattern[:-1])",
           "return event_type.startswith(pattern[:-2])", REGISTER),
    mutant("ledger/register.py", "0 <= since <= seq", "0 <= since", REGISTER),
    # what a writer reads before it signs
    mutant("ledger/replay.py", "if self._mark is not None and self._mark.key != entry.key:",
           "if False:", REPLAY),
    mutant("ledger/replay.py", "if entry.prev != prev:", "if entry.prev is None and prev:", REPLAY),
    mutant("ledger/replay.py", "if entry.ledger != self.ledger:", "if False:", REPLAY),
    mutant("ledger/replay.py", "if entry.digest != digest:", "if False:", REPLAY),
    mutant("ledger/replay.py", "if entry.signed != (signature is not None):",
           "if entry.signed and self.thorough and signature is None:", REPLAY, TAILS),
    mutant("ledger/replay.py", "if found != known:", "if found[0] != known[0]:", TAILS, "ledger/test_writer.py"),
    # the writer
    mutant("ledger/writer.py", "        replay.thorough = True  #", "        pass  #", TAILS),
    mutant("ledger/writer.py", "if self._torn or fragment:", "if fragment:", TAILS, RECOVERY),
    mutant("ledger/writer.py", "stamp = max(now(), self.replay.time)", "stamp = now()", LEDGER),
    mutant("ledger/writer.py", "if head is not None and head != (found := self.replay.head):",
           "if head is not None and head.size != (found := self.replay.head).size:", LEDGER),
    mutant("ledger/writer.py", "if entry.key != self._key.id:", "if False:", TAILS),
    mutant("ledger/writer.py", "if draft != there:", "if draft.type != there.type:", LEDGER),
    mutant("ledger/writer.py", "if lost and (successor is None or", "if lost and (False or", KEYS),
    mutant("ledger/writer.py", "self._register.check(self._key.id, draft.type)", "None", KEYS),
    mutant("ledger/batch.py", "seq == last or", "seq == last and last == place.size or", "ledger/test_writer.py"),
    mutant("ledger/batch.py", "% MAX_RUN == 0", "% (MAX_RUN + 1) == 0", "ledger/test_writer.py"),
    mutant("ledger/recovery.py", "if not before.endswith(torn):", "if True:", RECOVERY),
    mutant("ledger/recovery.py", "write_durably(pending, before + torn)", "write_durably(pending, torn)",
           RECOVERY),
    mutant("ledger/recorder.py", "            if self._closing:\n                raise MisuseError",
           "            if self._closing and self._queue:\n                raise MisuseError",
           "ledger/test_recorder.py"),
    mutant("ledger/signing.py", "if last is not None and replay.head.size < last.size:",
           "if last is not None and replay.head.size < 0:", HISTORIES),
    mutant("ledger/signing.py", "    if replay.torn:\n", "    if False:\n", TAILS),
    # stores
    mutant("ledger/stores/jsonl.py", "os.path.samestat(os.fstat(file.fileno()), os.stat(self.path))",
           "True", HISTORIES),
    mutant("ledger/stores/sqlite.py", "if inode != self._inode:", "if False:", HISTORIES),
    mutant("ledger/convert.py", "if entry.id in ids:", "if False:", REPLAY),
    # trees, notes
    mutant("ledger/merkle.py", "if leaf != root:", "if len(leaf) != len(root):", "ledger/test_merkle.py"),
    mutant("ledger/note.py", "if not verified:", "if not verified and not unverified:", "ledger/test_note.py"),
    mutant("ledger/checkpoint.py", "if checkpoint.origin != expected:", "if False:", "ledger/test_checkpoint.py"),
    # the verifier: framing, entries
    mutant("verifier/entries.py", 'return sha256(b"\\x00" + entry).digest()', "return sha256(entry).digest()",
           VECTORS),
    mutant("verifier/entries.py", "or len(value) != _MEMBERS", "", DIFFERENTIAL),
    mutant("verifier/lines.py", 'if not entry.endswith(b"}") or', "if", "verifier/test_lines_and_entries.py", VECTORS,
           DIFFERENTIAL),
    mutant("verifier/strictjson.py", "LIMIT = 2**53 - 1", "LIMIT = 2**53", VECTORS, "verifier/test_strictjson.py"),
    # the verifier: chain, signatures, batches
    mutant("verifier/chain.py", "if self.head is not None and entry.prev != self.head.hex().encode():",
           "if False:", VECTORS, "verifier/test_chain.py"),
    mutant("verifier/chain.py", "if self.genesis_hash is not None and entry.ledger != self.genesis_hash.hex().encode():",
           "if False:", VECTORS, "verifier/test_chain.py"),
    mutant("verifier/chain.py", "if entry.signed is (frame.sig is None):", "if entry.signed and frame.sig is None:",
           VECTORS, "verifier/test_chain.py"),
    mutant("verifier/chain.py", 'return code.startswith(_BARS) or code in ("batch.keys", "event.schema")',
           "return code.startswith(_BARS)", VECTORS, "verifier/test_keys.py", "verifier/test_chain.py"),
    mutant("verifier/chain.py", 'severity: Severity = "error" if self._strict else "warning"',
           'severity: Severity = "warning"', "verifier/test_chain.py", "verifier/test_verdict.py",
           "verifier/test_reading.py"),
    mutant("verifier/batches.py", "if self.size and (self.mixed or key != self.key):",
           "if self.size and key != self.key:", VECTORS, "verifier/test_chain.py"),
    mutant("verifier/batches.py", "if self.size >= MAX_RUN:", "if self.size > MAX_RUN:", "verifier/test_chain.py",
           "verifier/test_units.py"),
    mutant("verifier/ed25519.py", "return not _is_identity(_multiply(_L, point))", "return False", VECTORS, KEYS),
    mutant("verifier/ed25519.py", "or signature[:_KEY_SIZE] in SMALL_ORDER", "", DIFFERENTIAL),
    # the verifier: register, anchors, tree
    mutant("verifier/register.py", 'if event_type.startswith("key.") and OWNER not in key.roles:', "if False:", VECTORS,
           KEYS),
    mutant("verifier/register.py", '        self._put_out(old, "rotated")\n', "", VECTORS, "verifier/test_keys.py"),
    mutant("verifier/register.py", "if key.active and OWNER in key.roles and self._owners() == 1:", "if False:",
           VECTORS),
    mutant("verifier/anchors.py", "if checkpoint.root != root:", "if False:", "verifier/test_anchors.py"),
    mutant("verifier/anchors.py", "    if not signed:\n", "    if False:\n", "verifier/test_anchors.py"),
    mutant("verifier/anchors.py", "        for checkpoint in reversed(self._ahead):",
           "        for checkpoint in self._ahead[:0]:", HISTORIES, "verifier/test_anchors.py"),
    mutant("verifier/tree.py", "        while upper & 1:", "        while upper & 3 == 1:", "verifier/test_units.py",
           "verifier/test_anchors.py"),
    # the verifier: the story, the verdict
    mutant("verifier/verdict.py", "if findings.errors > _excusable(items, reading):",
           "if findings.errors > _excusable(items, reading) + 1:", VECTORS, "verifier/test_verdict.py"),
    mutant("verifier/verdict.py", 'return finding.code in {"batch.torn", "anchor.missing"}',
           'return finding.code in {"batch.torn", "anchor.missing", "sig.presence"}', "verifier/test_verdict.py", TAILS,
           STORES),
    mutant("verifier/findings.py", '        if severity == "error":\n            self._errors += number',
           '        if severity == "error" and number > 1:\n            self._errors += number', "verifier/test_units.py",
           "verifier/test_verdict.py", STORES),
)  # fmt: skip


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose file or text contains this")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if options.only in m.file + m.old + m.new]
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
