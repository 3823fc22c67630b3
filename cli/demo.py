"""The whole story: train, detect, record, verify, tamper, catch.

Nothing here is special to the demo: it calls what ``ledger run``, ``checkpoint``,
``export`` and ``verify`` call.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli import exits, keys, running, transfer, verifying
from cli.output import Output, print_text
from cli.reading import Filter, select
from cli.render import columns, escape_lines
from cli.verifying import Anchors
from ledger.entry import Entry, frame_line, parse_line
from ledger.errors import MisuseError
from ledger.ledger import Ledger
from ledger.signing import sign_checkpoint
from ledger.stores.files import write_durably
from verifier.verdict import Verdict

CORRUPT = "random@240"
_PRESET = "demo_v0"
_MOST = 1000


def fresh(folder: Path) -> Path:
    """Return a directory that does not exist yet: *folder*, or that with a number."""
    names = [folder, *(folder.with_name(f"{folder.name}-{n}") for n in range(2, _MOST))]
    for name in names:
        if not name.exists():
            return name
    raise MisuseError(f"{folder}: there are {_MOST} demos already")


@dataclass
class Demo:
    """One telling of the story. ``steps`` keeps what was done, and whether it did as it should."""

    folder: Path
    quiet: bool = False
    steps: list[tuple[str, bool]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def play(self, *, corrupt: str, iters: int | None) -> None:
        """Tell it; stops at the first step that did not do what it should."""
        running.require_trainer()
        self._say(f"This is the whole story, in {self.folder}")
        done = self._train(corrupt, iters)
        if not self._step(
            "a GPT was trained, and its run recorded", done.outcome.status == "success"
        ):
            return
        if not self._detected(done, corrupt):
            return
        anchors = self._pin(done)
        if self._verify(done, anchors):
            self._tamper(done, anchors)

    def answer(self) -> Output:
        """Return what was done; exit code 2 if a step did not do what it should."""
        good = all(ok for _, ok in self.steps)
        code = exits.OK if good else exits.REFUTED
        steps = [{"step": what, "ok": ok} for what, ok in self.steps]
        places = [[name, str(path)] for name, path in self._places().items()]
        last = "Every step did what it should." if good else "A step did NOT do what it should."
        text = f"\nWhere everything lies\n{columns(places)}\n\n{last}"
        data = {"folder": str(self.folder), "steps": steps, **self.facts}
        return Output("demo", data, text, code)

    def _train(self, corrupt: str, iters: int | None) -> running.Done:
        self._heading("Train a small GPT under a gate; its input turns to noise on the way")
        key_file = self.folder / "owner.key"
        keys.make(key_file, name="demo-owner")
        arguments = ["--corrupt", corrupt, *([] if iters is None else ["--max-iters", str(iters)])]
        wanted = running.Wanted(
            kind="gpt",
            arguments=tuple(arguments),
            outdir=self.folder / "run",
            name="demo",
            gate_preset=_PRESET,
            stdout=2 if self.quiet else 1,
        )
        done = running.run(wanted, key_file)
        self.facts |= {"ledger": done.ledger, "size": done.size, **done.summary}
        return done

    def _detected(self, done: running.Done, corrupt: str) -> bool:
        at = int(corrupt.partition("@")[2].partition(":")[0] or 0)
        first = done.summary.get("first_fail_iter")
        found = done.summary.get("final_decision") == "fail" and first is not None and first >= at
        return self._step(
            f"the gate found it: corrupted from {at} on, first fail at {first}", found
        )

    def _pin(self, done: running.Done) -> Anchors:
        """Keep the id and a checkpoint where someone who writes the ledger could not reach."""
        self._heading("Pin it: the owner signs a checkpoint, and hands it out with the id")
        key = keys.load(self.folder / "owner.key")
        with Ledger.open(done.path, key=key) as book:
            note = sign_checkpoint(book, memory=self.folder / "signer-memory")
        kept = self.folder / "checkpoint.note"
        write_durably(kept, note.encode())
        self._say(note.rstrip())
        return Anchors(done.ledger, (kept,))

    def _verify(self, done: running.Done, anchors: Anchors) -> bool:
        self._heading("Verify all of it, strictly, with code that shares none with the writer")
        verdict = self._judge(self.folder / "run", anchors)
        self._say(verdict.to_text().rstrip())
        holds = self._step("the run verifies, strictly", verdict.outcome == "VERIFIED")
        transfer.export(done.path, self.folder / "ledger.jsonl")
        again = self._judge(self.folder / "ledger.jsonl", anchors)
        same = again.outcome == "VERIFIED" and again.reading.root == verdict.reading.root
        return self._step("its export to JSONL verifies, with the same root", same) and holds

    def _tamper(self, done: running.Done, anchors: Anchors) -> None:
        with Ledger.open(done.path) as book:
            wanted = Filter(event_type="gate.checked")
            checks = [item.entry for item in select(book, wanted)]
        target = next(entry for entry in checks if entry.data["decision"] == "fail")
        self._heading(f"Change one byte in a copy: entry {target.seq}, the gate's first fail")
        copy = self.folder / "tampered.jsonl"
        lines = (self.folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)
        lines[target.seq] = _flipped(lines[target.seq], target)
        write_durably(copy, b"".join(lines))
        verdict = self._judge(copy, anchors)
        named = any(found.seq == target.seq for found in verdict.findings)
        for found in verdict.findings:
            place = "" if found.seq is None else f" at entry {found.seq}"
            self._say(escape_lines(f"  {found.code}{place}: {found.message}"))
        caught = verdict.outcome == "REFUTED" and named
        self._step(f"the verifier refutes the copy, and names entry {target.seq}", caught)
        self.facts |= {"tampered_seq": target.seq}

    def _judge(self, path: Path, anchors: Anchors) -> Verdict:
        return verifying.verify(path, verifying.policy(anchors, strict=True), quiet=self.quiet)

    def _places(self) -> dict[str, Path]:
        names = {
            "the run, as anyone may read it": "run/report.md",
            "its results": "run/results.json",
            "its ledger": "run/ledger.sqlite",
            "the ledger to hand out": "ledger.jsonl",
            "the checkpoint to keep elsewhere": "checkpoint.note",
            "the changed copy": "tampered.jsonl",
            "the owner's key": "owner.key",
        }
        places = {what: self.folder / name for what, name in names.items()}
        return {what: path for what, path in places.items() if path.exists()}

    def _step(self, what: str, truth: bool) -> bool:  # noqa: FBT001 - what happened, not an option
        self.steps.append((what, truth))
        self._say(f"{'ok ' if truth else 'NOT'}  {what}")
        return truth

    def _heading(self, text: str) -> None:
        self._say(f"\n== {text}")

    def _say(self, text: str) -> None:
        if not self.quiet:
            print_text(text)


def _flipped(line: bytes, entry: Entry) -> bytes:
    """Return the line of *entry* with one bit of its data changed, as a forger would start."""
    raw, digest, signature = parse_line(line[:-1])
    at = raw.index(b'"fail"', len(raw) - len(entry.payload)) + 1
    changed = raw[:at] + bytes([raw[at] ^ 0x01]) + raw[at + 1 :]
    return frame_line(changed, digest, signature)
