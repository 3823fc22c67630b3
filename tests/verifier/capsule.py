"""Run directories made by hand, honest or not, for the tests of the upper half of the verifier.

Nothing of ours is used: entries are framed, hashed and signed here with the
standard library and ``cryptography``, and the result files are plain dicts.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNED_AS = b"application/vnd.evidence-ledger.entry.v1+json"
RUN = "run/r1"
ROLES = {
    "owner": ["*"],
    "wrapper": ["run.*", "artifact.*", "blob.*", "ledger.recovered", "mystery.*", "x.*"],
    "runner": ["run.planned", "run.finished", "metric.*", "gate.*", "fault.*", "x.*"],
}


def canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n"


class Signer:
    def __init__(self, name: str) -> None:
        self.name = name
        self.private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        self.public = self.private.public_key().public_bytes_raw()
        self.id = hashlib.sha256(self.public).hexdigest()

    def record(self) -> dict[str, Any]:
        return {
            "alg": "ed25519",
            "public": base64.b64encode(self.public).decode(),
            "name": self.name,
            "roles": [self.name],
        }


class Capsule:
    """A ledger in a directory, and the files beside it."""

    def __init__(self, folder: Path, name: str = "demo") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.keys = {role: Signer(role) for role in ROLES}
        self.lines: list[bytes] = []
        self.id: str | None = None
        self.prev: str | None = None
        self.gates: list[dict[str, Any]] = []
        self.metrics: list[dict[str, Any]] = []
        self.times: dict[str, str] = {}
        genesis = {
            "format": "evidence-ledger/v1",
            "name": name,
            "nonce": "5" * 32,
            "roles": ROLES,
            "keys": [key.record() for key in self.keys.values()],
        }
        self.add("ledger.created", genesis, by="owner", subject="")
        self.id = self.prev

    @property
    def path(self) -> Path:
        return self.folder / "ledger.jsonl"

    @property
    def size(self) -> int:
        return len(self.lines)

    def add(self, kind: str, data: object, by: str = "wrapper", subject: str = RUN) -> int:
        """Append a signed entry, write the file, and return the entry's seq."""
        seq = self.size
        time = f"2026-01-15T10:{seq // 60:02}:{seq % 60:02}.000000Z"
        entry = json.dumps(
            {
                "v": 1,
                "ledger": self.id,
                "seq": seq,
                "prev": self.prev,
                "id": f"id-{seq:06}",
                "time": time,
                "key": self.keys[by].id,
                "signed": True,
                "type": kind,
                "subject": subject,
                "data": data,
            },
            separators=(",", ":"),
            ensure_ascii=False,
        ).encode()
        message = b"DSSEv1 %d %s %d %s" % (len(SIGNED_AS), SIGNED_AS, len(entry), entry)
        sig = base64.b64encode(self.keys[by].private.sign(message))
        self.prev = hashlib.sha256(b"\0" + entry).hexdigest()
        self.lines.append(
            b'{"entry":' + entry + b',"hash":"' + self.prev.encode() + b'","sig":"' + sig + b'"}\n'
        )
        self.times.setdefault(kind, time)
        self.path.write_bytes(b"".join(self.lines))
        return seq

    def opened(self, subject: str = RUN) -> int:
        return self.add("run.opened", OPENED, subject=subject)

    def planned(self) -> int:
        return self.add("run.planned", PLANNED, by="runner")

    def measured(self, step: int, **values: float | str) -> int:
        for name, value in sorted(values.items()):
            metric = {"name": name, "iter": step, "value": value}
            if isinstance(value, str):
                metric |= {"value": None, "nonfinite": value}
            self.metrics.append(metric)
        return self.add("metric.observed", {"iter": step, "values": values}, by="runner")

    def checked(self, step: int, decision: str, *, reference: int = 1, recent: int = 0) -> int:
        """One check: how many values of the reference are low, and of this window high."""
        said = audit(decision, reference=reference, recent=recent)
        record: dict[str, Any] = {"iter": step, "decision": decision, "audit": said}
        if decision != "skip":
            record |= {"ok": decision != "fail", "warn": decision == "warn"}
        self.gates.append(record)
        counts = {"reference": [reference, 0], "recent": [1 - recent, recent]}
        data = {"iter": step, "decision": decision, "audit": said, "evidence": {"loss": counts}}
        return self.add("gate.checked", data, by="runner")

    def finished(self) -> int:
        return self.add("run.finished", {"iters": 50, "final_loss": 1.5}, by="runner")

    def closed(self, status: str = "success", code: int | None = 0) -> int:
        data = {"status": status, "exit_code": code, "signal": None, "wall_s": 1.5}
        return self.add("run.closed", data)

    def story(self) -> "Capsule":
        """A whole honest run: two skips, pass, warn, fail, as the plan gives them."""
        self.opened()
        self.planned()
        for step, loss, decision in STORY:
            self.measured(step - 10, loss=loss, other="NaN")
            low = int(decision != "skip")
            self.checked(step, decision, reference=low, recent=int(loss > 0.5))
        self.closed()
        return self

    def header(self) -> dict[str, Any]:
        closed = self.times.get("run.closed")
        return {
            "schema_version": 1,
            "run_id": "r1",
            "window_signature_ref": {
                "hash": hashlib.sha256(SIGNATURE).hexdigest(),
                "path": "window_signature.json",
            },
            "profile": {"gate_preset": "demo", "overrides": {}},
            "run_status": "success" if closed else "veriscope_failure",
            "runner_exit_code": 0 if closed else None,
            "runner_signal": None,
            "started_ts_utc": seconds(self.times["run.opened"]),
            "ended_ts_utc": None if closed is None else seconds(closed),
        }

    def results(self) -> dict[str, Any]:
        return {**self.header(), "gates": self.gates, "metrics": self.metrics}

    def summary(self) -> dict[str, Any]:
        made = [gate["decision"] for gate in self.gates]
        counts = {name: made.count(name) for name in ("skip", "pass", "warn", "fail")}
        fails = [gate["iter"] for gate in self.gates if gate["decision"] == "fail"]
        return {
            **self.header(),
            "counts": {"evaluated": len(made) - counts["skip"], **counts},
            "final_decision": next(
                (name for name in ("fail", "warn", "pass") if counts[name]), "skip"
            ),
            "first_fail_iter": min(fails, default=None),
            "partial": False,
        }

    def partial(self, note: str) -> dict[str, Any]:
        """The summary of a run that was not closed or not planned: nothing is decided."""
        whole = self.summary()
        return {
            **whole,
            "counts": dict.fromkeys(whole["counts"], 0),
            "final_decision": "skip",
            "first_fail_iter": None,
            "partial": True,
            "recorded_counts": whole["counts"],
            "note": note,
        }

    def record(self, name: str, content: bytes, **said: object) -> int:
        """Write a file and put it on record, as it is or as *said*."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return self.claim(name, content, **said)

    def claim(self, name: str, content: bytes, **said: object) -> int:
        """Put a file on record without writing it."""
        subject = str(said.pop("subject", RUN))
        data = {
            "path": name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "media_type": "application/octet-stream",
            "projection": None,
            "at": None,
        }
        return self.add("artifact.recorded", data | said, subject=subject)

    def link(self, name: str, target: str, **said: object) -> int:
        """Make a symbolic link and put its text on record."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        return self.claim(name, target.encode(), **{"media_type": "inode/symlink", **said})

    def record_all(self) -> "Capsule":
        """Project and record all files of an honest run."""
        at = self.size
        self.record("results.json", canonical(self.results()), projection="results", at=at)
        self.record("results_summary.json", canonical(self.summary()), projection="summary", at=at)
        self.record("first_fail_iter.txt", b"50\n", projection="summary", at=at)
        self.record("window_signature.json", SIGNATURE + b"\n", projection="w", at=at)
        self.record("report.md", b"# report\n", projection="report", at=at)
        self.record("logs/out.txt", b"hello\n")
        return self

    def blob(self, content: bytes) -> dict[str, Any]:
        """Store a blob and return its reference."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.folder / "blobs" / "sha256" / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        media = "application/octet-stream"
        return {"sha256": digest, "bytes": len(content), "media_type": media, "name": "b"}


def seconds(time: str) -> str:
    return time[:19] + "Z"


def audit(decision: str, *, reference: int, recent: int) -> dict[str, Any]:
    """What the histogram gate says of one value against one, by docs/reference/gate.md."""
    if decision == "skip":
        return {
            "evaluated": False,
            "reason": "insufficient_evidence",
            "policy": "persistence",
            "worst_DW": None,
            "eps_eff": None,
            "per_metric_tv": {},
            "evidence_total": reference,
            "min_evidence": 1,
        }
    return {
        "evaluated": True,
        "reason": decision,
        "policy": "persistence",
        "worst_DW": float(recent),
        "eps_eff": 0.25,
        "per_metric_tv": {"loss": float(recent)},
        "evidence_total": reference,
        "min_evidence": 1,
    }


STORY = ((10, 0.25, "skip"), (20, 0.25, "skip"), (30, 0.25, "pass"), (40, 0.75, "warn"))
STORY += ((50, 0.75, "fail"),)

OPENED: dict[str, Any] = {
    "kind": "gpt",
    "argv": ["python", "train.py"],
    "outdir": "out",
    "runner_key": None,
    "package": {"name": "evidence-ledger", "version": "0.1.0"},
    "python": "3.11",
    "platform": "linux",
    "git": {"sha": None, "dirty": None},
    "env": {},
    "env_capture": {
        "allowlist": [],
        "deny_exact": [],
        "deny_regex": [],
        "redactions_applied": False,
    },
}

PLANNED: dict[str, Any] = {
    "gate": {
        "preset": "demo",
        "policy": "persistence",
        "window": 10,
        "metric_interval": 10,
        "warmup": 0,
        "bins": 2,
        "ranges": {"loss": [0.0, 1.0]},
        "weights": {"loss": 1.0},
        "epsilon": 0.25,
        "persistence": 2,
        "min_evidence": 1,
    },
    "max_iters": 50,
    "seed": 1,
    "model": {"n_layer": 2},
    "data": {"name": "topics", "sha256": "0" * 64, "bytes": 10},
}

CONTROLS = (
    b'{"bins":2,"cap_frac":null,"eps_sens":null,"epsilon":0.25,"gain":null,"gate_warmup":0,'
    b'"gate_warmup_iters":0,"gate_window":10,"metric_interval":10,"min_evidence":1,'
    b'"min_metrics_exceeding":null,"persistence":2,"persistence_k":2,"policy":"persistence",'
    b'"ranges":{"loss":[0.0,1.0]},"warmup":0,"weights":{"loss":1.0},"window":10}'
)

SIGNATURE = (
    b'{"code_identity":{"gate_engine":"histogram/1","package":"evidence-ledger"},'
    b'"evidence":{"metrics":["loss"],"window":{"kind":"iterations","size":10,"stride":10}},'
    b'"gate_controls":%b,"gate_controls_hash":"%b",'
    b'"schema_version":1,"transport":{"cadence":10,"name":"evidence_ledger_v1"}}'
    % (CONTROLS, hashlib.sha256(CONTROLS).hexdigest().encode())
)
