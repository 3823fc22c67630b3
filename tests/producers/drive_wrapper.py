"""A real wrapper process: OUTDIR GRACE COMMAND…; writes outcome.json beside OUTDIR."""

import dataclasses
import json
import sys
from pathlib import Path

from ledger import Key, Ledger
from producers.runs import RunSpec, run


def _finalize(book: Ledger, outdir: Path) -> dict[str, bytes]:
    del outdir
    decisions = [e.data["decision"] for e in book.entries() if e.type == "gate.checked"]
    return {"results.json": json.dumps(decisions).encode() + b"\n"}


def main() -> int:
    outdir, grace, *command = sys.argv[1:]
    key = Key.from_seed(bytes(range(32)), name="owner")
    kind = "gpt" if command[0] == "gpt" else "command"
    argv = tuple(command[1:] if kind == "gpt" else command)
    spec = RunSpec(kind=kind, argv=argv, outdir=Path(outdir), grace=float(grace))
    with Ledger.open(outdir, key=key) as book:
        outcome = run(spec, book, finalize=_finalize)
    shown = json.dumps(dataclasses.asdict(outcome), default=str)
    Path(outdir).with_name("outcome.json").write_text(shown, encoding="utf-8")
    return outcome.wrapper_exit


if __name__ == "__main__":
    raise SystemExit(main())
