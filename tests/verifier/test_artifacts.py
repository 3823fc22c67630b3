"""A run directory and its attackers: artifacts.py, results.py, signature.py, beneath.py."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.verifier.capsule import PLANNED, RUN, SIGNATURE, Capsule, canonical
from verifier.beneath import RefusedError, digest, opened_root, read, walk
from verifier.policy import Policy
from verifier.run import verify_path
from verifier.signature import Plan, signature_bytes, signature_hash
from verifier.verdict import Verdict

Codes = list[tuple[str, int | None]]
ANY = Policy(strict=False, ledger_id=None, checkpoints=())


def verdict(capsule: Capsule, *, strict: bool = True) -> Verdict:
    return verify_path(capsule.folder, Policy(strict=strict, ledger_id=capsule.id, checkpoints=()))


def codes(capsule: Capsule) -> Codes:
    return [(finding.code, finding.seq) for finding in verdict(capsule).findings]


def messages(capsule: Capsule) -> str:
    return "\n".join(finding.message for finding in verdict(capsule).findings)


@pytest.fixture
def capsule(tmp_path: Path) -> Capsule:
    return Capsule(tmp_path / "run").story().record_all()


def test_an_honest_capsule_is_verified(capsule: Capsule) -> None:
    found = verdict(capsule)
    assert (found.outcome, found.findings) == ("VERIFIED", ())
    said = "\n".join(found.checked)
    assert "artifacts: 6 files with the size and digest on record, and no others" in said
    assert "results.json, results_summary.json, first_fail_iter.txt, window_signature.json" in said
    assert any(line.startswith("content: what 2 artifacts say") for line in found.not_checked)


# -- files and their digests


def test_a_changed_file_is_a_checksum_finding_at_its_record(capsule: Capsule) -> None:
    (capsule.folder / "report.md").write_bytes(b"# Report\n")
    assert codes(capsule) == [("artifact.checksum", 18)]


@pytest.mark.parametrize("content", [b"", b"# report", b"# report\n\n", b"x" * 5_000_000])
def test_a_file_of_another_length_is_a_size_finding(capsule: Capsule, content: bytes) -> None:
    (capsule.folder / "report.md").write_bytes(content)
    assert codes(capsule) == [("artifact.size", 18)]


def test_a_lost_file_is_missing(capsule: Capsule) -> None:
    (capsule.folder / "logs" / "out.txt").unlink()
    (capsule.folder / "logs").rmdir()
    (capsule.folder / "results.json").unlink()
    assert codes(capsule) == [("artifact.missing", 14), ("artifact.missing", 19)]


def test_an_unreadable_file_is_missing_and_hides_no_other(capsule: Capsule) -> None:
    (capsule.folder / "report.md").unlink()
    (capsule.folder / "report.md" / "inner").mkdir(parents=True)
    (capsule.folder / "logs" / "out.txt").write_bytes(b"HELLO\n")
    assert codes(capsule) == [("artifact.missing", 18), ("artifact.checksum", 19)]


def test_files_that_no_event_explains_are_one_finding(capsule: Capsule) -> None:
    (capsule.folder / "logs" / "more.txt").write_bytes(b"")
    (capsule.folder / "results.json.bak").write_bytes(b"")
    os.mkfifo(capsule.folder / "pipe")
    (capsule.folder / "way-out").symlink_to("/etc")
    (capsule.folder / "blobs" / "sha256").mkdir(parents=True)
    (capsule.folder / "blobs" / "sha256" / "evil").write_bytes(b"")
    assert codes(capsule) == [("artifact.extra", None)]
    assert messages(capsule) == (
        "not on record: blobs/sha256/evil; logs/more.txt; pipe; results.json.bak; way-out"
    )


def test_what_the_ledger_itself_leaves_is_no_extra(capsule: Capsule) -> None:
    folder = capsule.folder
    names = [
        "ledger.jsonl.torn-pending",
        ".ledger.jsonl.77.tmp",
        ".ledger.jsonl.torn-pending.7.tmp",
    ]
    for name in names:
        (folder / name).write_bytes(b"x")
    (folder / "blobs" / "sha256" / "ab").mkdir(parents=True)
    (folder / "blobs" / "sha256" / "ab" / ("ab" * 32)).write_bytes(b"")
    (folder / "blobs" / "sha256" / ".12.tmp").write_bytes(b"")
    (folder / "empty").mkdir()
    assert codes(capsule) == []
    (folder / ".ledger.sqlite.77.tmp").write_bytes(b"x")
    assert codes(capsule) == [("artifact.extra", None)]


def test_a_name_with_escapes_or_broken_encoding_is_shown_harmless(capsule: Capsule) -> None:
    hostile = os.fsencode(capsule.folder) + b"/\x1b[2J\xff\xe2\x80\xaeVERIFIED\n"
    with open(hostile, "wb"):  # noqa: PTH123 - the name is bytes on purpose
        pass
    found = verdict(capsule)
    assert found.findings[0].message == "not on record: \\x1b[2J\\udcff\\u202eVERIFIED\\x0a"
    assert json.loads(json.dumps(found.to_json()).encode())
    found.to_text().encode()


def test_files_are_not_judged_while_a_run_is_open(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run")
    capsule.opened()
    (capsule.folder / "out.txt").write_bytes(b"")
    found = verdict(capsule)
    assert (found.outcome, found.exit_code, found.findings) == ("INCOMPLETE", 5, ())
    assert any("1 file not on record" in line for line in found.not_checked)
    assert not any("artifacts:" in line for line in found.checked)


def test_a_directory_without_runs_may_hold_what_it_likes(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run")
    (capsule.folder / "notes.txt").write_bytes(b"")
    found = verdict(capsule)
    assert (found.outcome, found.findings) == ("VERIFIED", ())


def test_a_run_whose_files_were_never_recorded_is_incomplete(tmp_path: Path) -> None:
    """The wrapper was killed between run.closed and the first record."""
    capsule = Capsule(tmp_path / "run").story()
    assert verdict(capsule).outcome == "VERIFIED"
    (capsule.folder / "results.json").write_bytes(canonical(capsule.results()))
    found = verdict(capsule)
    assert (found.outcome, found.exit_code, found.findings) == ("INCOMPLETE", 5, ())
    assert found.open_ends == ("no file of its run was put on record",)
    assert any(line.startswith("other files: 1 file") for line in found.not_checked)
    capsule.record("report.md", b"")
    assert codes(capsule) == [("artifact.extra", None)]


def test_a_name_with_formatting_characters_is_odd_but_honest(capsule: Capsule) -> None:
    capsule.record("caf\u00e9 \u202etxt.\U0001f469\u200d\U0001f4bb", b"")
    assert codes(capsule) == []


def test_an_unreadable_directory_is_reported_and_hides_no_other(tmp_path: Path) -> None:
    """Root may read everything, so a child looks that is nobody."""
    (tmp_path / "locked").mkdir(mode=0o000)
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open" / "f").touch()
    tmp_path.chmod(0o755)
    with opened_root(tmp_path) as root:
        child = os.fork()
        if not child:
            if os.geteuid() == 0:
                os.setuid(65534)
            os._exit(0 if sorted(walk(root)) == ["locked/", "open/f"] else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_side_file_may_be_gone_but_not_changed(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run").story()
    said = {
        "side_file": "ledger.jsonl.torn-1",
        "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        "bytes": 5,
        "entries": 0,
        "hashes": [],
        "part": 1,
        "parts": 1,
    }
    capsule.add("ledger.recovered", said, subject="")
    capsule.add("ledger.recovered", {**said, "side_file": "../up"}, subject="")
    assert codes(capsule) == []
    side_file = capsule.folder / "ledger.jsonl.torn-1"
    side_file.write_bytes(b"hello")
    assert codes(capsule) == []
    side_file.write_bytes(b"hellO")
    assert codes(capsule) == [("artifact.checksum", 14)]


# -- hostile paths


@pytest.mark.parametrize(
    "path",
    [
        "/etc/hostname",
        "../secret",
        "logs/../../secret",
        "logs/./out.txt",
        "logs//out.txt",
        "logs/",
        ".",
        "..",
        "C:/secret",
        "C:secret",
        "logs\\out.txt",
        "logs/out.txt\n",
        "logs/\x7fout.txt",
        "logs/\u2028out.txt",
        "a/" * 2040 + "é" * 10,
        "n" * 300,
    ],
)
def test_a_hostile_path_is_never_opened(capsule: Capsule, path: str) -> None:
    secret = capsule.folder.parent / "secret"
    secret.write_bytes(b"hello\n")
    seq = capsule.claim(path, b"hello\n")
    assert codes(capsule) == [("artifact.missing", seq)]


@pytest.mark.parametrize(
    "path", ["/logs/out.txt", "../x", "a\\b", "a\x00b", "", "a//b", "x" * 5000]
)
def test_names_that_are_not_followed_are_refused_before_any_file_is_touched(
    tmp_path: Path, path: str
) -> None:
    with opened_root(tmp_path) as root, pytest.raises(RefusedError):
        digest(root, path, 10)


def test_no_link_is_followed(capsule: Capsule) -> None:
    outside = capsule.folder.parent / "outside"
    outside.mkdir()
    (outside / "out.txt").write_bytes(b"hello\n")
    logs = capsule.folder / "logs"
    (logs / "out.txt").unlink()
    (logs / "out.txt").symlink_to(outside / "out.txt")
    assert codes(capsule) == [("artifact.missing", 19)]
    assert "symbolic link" in messages(capsule)
    (logs / "out.txt").unlink()
    logs.rmdir()
    logs.symlink_to(outside)
    assert codes(capsule) == [("artifact.missing", 19), ("artifact.extra", None)]
    assert "leads through a symbolic link" in messages(capsule)


def test_neither_a_fifo_nor_a_socket_nor_a_device_is_read(capsule: Capsule) -> None:
    path = capsule.folder / "logs" / "out.txt"
    path.unlink()
    os.mkfifo(path)
    assert codes(capsule) == [("artifact.missing", 19)]
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert codes(capsule) == [("artifact.missing", 19)]
    if os.geteuid() == 0:
        path.unlink()
        os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero never ends
        assert codes(capsule) == [("artifact.missing", 19)]


def test_what_is_hashed_is_what_is_parsed(tmp_path: Path) -> None:
    """The file is opened once: one that is replaced meanwhile cannot be two things."""
    (tmp_path / "f").write_bytes(b"hello")
    with opened_root(tmp_path) as root:
        content = read(root, "f", 5)
        (tmp_path / "f").write_bytes(b"other")
        assert (content.data, content.size) == (b"hello", 5)
        assert content.sha256.startswith("2cf24dba5fb0a30e26e83b2ac5b9e29e")
        assert read(root, "f", 4).data is None


def test_a_sparse_giant_is_not_read_to_its_end(capsule: Capsule) -> None:
    os.truncate(capsule.folder / "logs" / "out.txt", 1 << 40)
    assert codes(capsule) == [("artifact.size", 19)]


def test_a_giant_result_file_is_refused_unread(capsule: Capsule) -> None:
    with (capsule.folder / "results.json").open("ab") as file:
        file.write(b" " * (2 << 20))
    assert codes(capsule) == [("artifact.content", 14), ("artifact.size", 14)]
    assert "more than the run's events can become" in messages(capsule)


def test_deep_directories_are_walked_without_recursion(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(300):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"")
    with opened_root(tmp_path) as root:
        assert list(walk(root)) == ["d/" * 300 + "f"]


# -- the second count


def edited(capsule: Capsule, name: str, document: dict[str, Any], **said: object) -> Codes:
    """What is found when the wrapper's own key records an edited file with its own digest."""
    capsule.record(name, canonical(document), projection="x", at=14, **said)
    return [(code, seq) for code, seq in codes(capsule) if seq == capsule.size - 1]


def results(capsule: Capsule, **changed: object) -> Codes:
    return edited(capsule, "results.json", capsule.results() | changed)


def summary(capsule: Capsule, **changed: object) -> Codes:
    return edited(capsule, "results_summary.json", capsule.summary() | changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"schema_version": 2},
        {"schema_version": True},
        {"run_id": "r2"},
        {"run_status": "user_code_failure"},
        {"runner_exit_code": 1},
        {"runner_exit_code": None},
        {"runner_signal": "SIGKILL"},
        {"started_ts_utc": "2026-01-15T10:00:00.000000Z"},
        {"ended_ts_utc": None},
        {"profile": {"gate_preset": "other", "overrides": {}}},
        {"profile": {"gate_preset": "demo", "overrides": {"epsilon": 9}}},
        {"window_signature_ref": {"hash": "1" * 64, "path": "window_signature.json"}},
        {"window_signature_ref": {"hash": "1" * 64}},
        {"window_signature_ref": None},
        {"unheard_of": 1},
    ],
)
def test_an_edited_header_is_found_though_its_digest_is_on_record(
    capsule: Capsule, changed: dict[str, object]
) -> None:
    assert results(capsule, **changed) == [("artifact.content", 20)]
    assert summary(capsule, **changed) == [("artifact.content", 21)]


@pytest.mark.parametrize(
    "changed",
    [
        {"final_decision": "pass"},
        {"first_fail_iter": None},
        {"first_fail_iter": 40},
        {"first_fail_iter": 50.5},
        {"partial": True},
        {"partial": 0},
    ],
)
def test_an_edited_summary_is_found(capsule: Capsule, changed: dict[str, object]) -> None:
    assert summary(capsule, **changed) == [("artifact.content", 20)]


@pytest.mark.parametrize(
    "counts",
    [
        {"evaluated": 3, "skip": 1, "pass": 2, "warn": 1, "fail": 0},
        {"evaluated": 4, "skip": 1, "pass": 1, "warn": 1, "fail": 1},
        {"evaluated": 3, "skip": True, "pass": 1, "warn": 1, "fail": 1},
        {"evaluated": 3, "skip": 1, "pass": 1, "warn": 1},
        [],
    ],
)
def test_edited_counts_are_found(capsule: Capsule, counts: object) -> None:
    assert summary(capsule, counts=counts) == [("artifact.count", 20)]


def test_a_missing_member_is_found(capsule: Capsule) -> None:
    document = capsule.summary()
    del document["counts"]
    assert edited(capsule, "results_summary.json", document) == [("artifact.content", 20)]


Edit = Callable[[list[Any]], object]


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda gates: gates[4].update(decision="pass", warn=False), id="decision"),
        pytest.param(lambda gates: gates[4].update(ok=True), id="ok against the decision"),
        pytest.param(lambda gates: gates[3].update(warn=False), id="warn against the decision"),
        pytest.param(lambda gates: gates[0].update(ok=True), id="a skip that calls itself ok"),
        pytest.param(lambda gates: gates[2].update(iter=31), id="iter"),
        pytest.param(lambda gates: gates[2]["audit"].update(worst_DW=0.1), id="worst_DW"),
        pytest.param(lambda gates: gates[2]["audit"].update(worst_DW=None), id="worst_DW lost"),
        pytest.param(lambda gates: gates[2]["audit"].update(evaluated=1), id="1 for true"),
        pytest.param(lambda gates: gates[2]["audit"].update(eps_eff=9), id="eps_eff"),
        pytest.param(lambda gates: gates[2]["audit"].update(note="fine"), id="one member more"),
        pytest.param(lambda gates: gates[2]["audit"].pop("reason"), id="one member less"),
        pytest.param(lambda gates: gates[2]["audit"]["per_metric_tv"].update(loss=0), id="tv"),
        pytest.param(lambda gates: gates[2]["audit"]["per_metric_tv"].clear(), id="no tv"),
        pytest.param(lambda gates: gates[2].update(audit=None), id="no audit"),
        pytest.param(lambda gates: gates[2].update(comment="fine"), id="a stranger"),
        pytest.param(lambda gates: gates[2].pop("iter"), id="no iter"),
        pytest.param(lambda gates: gates.reverse(), id="order"),
        pytest.param(lambda gates: gates.__setitem__(0, "gate"), id="no object"),
    ],
)
def test_an_edited_gate_is_found(capsule: Capsule, edit: Edit) -> None:
    gates = json.loads(json.dumps(capsule.gates))
    edit(gates)
    assert results(capsule, gates=gates) == [("artifact.content", 20)]


@pytest.mark.parametrize("edit", [lambda gates: gates.pop(), lambda gates: gates.append(gates[0])])
def test_another_number_of_gates_is_found(capsule: Capsule, edit: Edit) -> None:
    gates = list(capsule.gates)
    edit(gates)
    assert results(capsule, gates=gates) == [("artifact.count", 20)]


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda metrics: metrics[0].update(value=9), id="value"),
        pytest.param(lambda metrics: metrics[0].update(value=True), id="boolean"),
        pytest.param(lambda metrics: metrics[1].update(nonfinite="Infinity"), id="which"),
        pytest.param(lambda metrics: metrics[1].pop("nonfinite"), id="null without a reason"),
        pytest.param(lambda metrics: metrics[0].update(note=1), id="a stranger"),
        pytest.param(lambda metrics: metrics.pop(), id="one less"),
        pytest.param(lambda metrics: metrics.reverse(), id="order"),
        pytest.param(lambda metrics: metrics.__setitem__(1, 5), id="no object"),
    ],
)
def test_an_edited_metric_is_found(capsule: Capsule, edit: Edit) -> None:
    metrics = json.loads(json.dumps(capsule.metrics))
    edit(metrics)
    assert results(capsule, metrics=metrics) == [("artifact.content", 20)]


@pytest.mark.parametrize("changed", [{"gates": None}, {"gates": {}}, {"metrics": "none"}])
def test_lists_must_be_lists(capsule: Capsule, changed: dict[str, object]) -> None:
    assert results(capsule, **changed) == [("artifact.content", 20)]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="no object"),
        pytest.param(b"\xef\xbb\xbf{}", id="BOM"),
        pytest.param(b"{}{}", id="two documents"),
        pytest.param(b"\xff\xfe{\x00}\x00", id="UTF-16"),
        pytest.param(b'{"run_id":"\xc0\xaf"}', id="overlong UTF-8"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":-Infinity}', id="Infinity"),
        pytest.param(b'{"a":1e999}', id="overflow"),
        pytest.param(b'{"a":%s}' % (b"9" * 5000), id="5 000 digits"),
        pytest.param(b'{"a":1,"a":1}', id="duplicate"),
        pytest.param(b'{"a":1,"\\u0061":1}', id="duplicate by escape"),
        pytest.param(b'{"a":"\\ud800"}\n', id="lone surrogate"),
        pytest.param(b"[" * 50_000, id="depth"),
        pytest.param(b'{"a":' * 50_000, id="depth of objects"),
    ],
)
@pytest.mark.parametrize("name", ["results.json", "results_summary.json"])
def test_a_result_file_is_strict_json(capsule: Capsule, name: str, content: bytes) -> None:
    capsule.record(name, content, at=14)
    assert codes(capsule) == [("artifact.content", 20)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\n", b""),
        (b"\n", b"\r\n"),
        (b"\n", b"\n\n"),
        (b":", b": "),
        (b'"run_id"', b'"run\\u005fid"'),
        (b'"value":0.25', b'"value":0.250'),
        (b'"value":0.75', b'"value":7.5E-1'),
    ],
)
def test_a_result_file_has_one_form(capsule: Capsule, old: bytes, new: bytes) -> None:
    content = canonical(capsule.results()).replace(old, new, 1)
    capsule.record("results.json", content, at=14)
    assert codes(capsule) == [("artifact.content", 20)]
    assert "the one form" in messages(capsule)


def test_a_lone_surrogate_is_no_crash(capsule: Capsule) -> None:
    content = canonical(capsule.results()).replace(b'"name":"loss"', b'"name":"\\ud800"', 1)
    capsule.record("results.json", content, at=14)
    assert codes(capsule) == [("artifact.content", 20)]
    assert "the one form" in messages(capsule)


def test_a_duplicate_that_agrees_with_the_replay_is_still_refused(capsule: Capsule) -> None:
    honest = canonical(capsule.summary())
    two = honest.replace(b'"final_decision":', b'"final_decision":"pass","final_decision":')
    capsule.record("results_summary.json", two, at=14)
    assert codes(capsule) == [("artifact.content", 20)]
    assert "two members of one name" in messages(capsule)


@pytest.mark.parametrize(
    "content", [b"51\n", b"50\n\n", b" 50", b"", b"5\xd9\xa0", b"050", b"50.0"]
)
def test_the_marker_holds_the_first_fail(capsule: Capsule, content: bytes) -> None:
    capsule.record("first_fail_iter.txt", content, at=14)
    assert codes(capsule) == [("artifact.content", 20)]


def test_the_marker_must_have_its_line_feed(capsule: Capsule) -> None:
    capsule.record("first_fail_iter.txt", b"50", at=14)
    assert codes(capsule) == [("artifact.content", 20)]


def test_a_marker_without_a_fail_is_found(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run")
    capsule.opened()
    capsule.closed()
    capsule.record("first_fail_iter.txt", b"40\n", at=3)
    assert codes(capsule) == [("artifact.content", 3)]


def test_a_marker_that_was_never_recorded_is_missing(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run").story()
    seq = capsule.record("results_summary.json", canonical(capsule.summary()), at=14)
    assert codes(capsule) == [("artifact.missing", seq)]


def test_an_edited_signature_is_found(capsule: Capsule) -> None:
    edited = SIGNATURE.replace(b'"epsilon":0.25', b'"epsilon":0.5')
    assert edited != SIGNATURE
    capsule.record("window_signature.json", edited + b"\n", at=14)
    assert codes(capsule) == [("artifact.content", 20)]


def test_the_signature_of_a_plan_does_not_depend_on_how_its_numbers_were_written() -> None:
    gate: dict[str, Any] = PLANNED["gate"]
    whole = {**gate, "epsilon": 1, "weights": {"loss": 1}, "ranges": {"loss": [0, 1]}}
    point = {**gate, "epsilon": 1.0}
    assert signature_bytes(Plan("gpt", whole)) == signature_bytes(Plan("gpt", point))
    assert signature_bytes(Plan("gpt", gate)) == SIGNATURE
    assert signature_hash(Plan("gpt", None)) != signature_hash(Plan("eval", None))


def test_a_run_without_a_plan_says_so_in_its_files(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run")
    capsule.opened()
    capsule.closed(status="wrapper_failure", code=None)
    document = capsule.partial("the run recorded no plan") | {
        "run_status": "veriscope_failure",
        "runner_exit_code": None,
        "profile": {"gate_preset": "unplanned", "overrides": {}},
        "window_signature_ref": {
            "hash": signature_hash(Plan("gpt", None)),
            "path": "window_signature.json",
        },
    }
    capsule.record("results_summary.json", canonical(document), at=3)
    assert codes(capsule) == []


@pytest.mark.parametrize("at", [4, 13])
def test_a_file_cut_back_to_before_the_bad_news_is_found(capsule: Capsule, at: int) -> None:
    """The replay of the first entries agrees with it; it is still not the run's result."""
    twin = Capsule(capsule.folder.parent / "twin")
    twin.opened()
    twin.planned()
    if at == 13:
        twin.gates = capsule.gates
    document = twin.partial("the run was never closed")
    capsule.record("results_summary.json", canonical(document), at=at)
    assert codes(capsule) == [("artifact.content", 20)]
    assert f"projected from {at} entries, before the run closed at seq 13" in messages(capsule)
    assert ";" not in messages(capsule)


def test_a_projection_of_entries_that_did_not_exist_is_found(capsule: Capsule) -> None:
    capsule.record("results_summary.json", canonical(capsule.summary()), at=21)
    assert codes(capsule) == [("artifact.content", 20)]


def test_a_result_file_is_counted_whatever_its_record_calls_it(capsule: Capsule) -> None:
    content = canonical(capsule.summary() | {"final_decision": "pass"})
    capsule.record("results_summary.json", content, projection=None, at=None)
    assert codes(capsule) == [("artifact.content", 20)]


def test_a_partial_run_has_partial_files(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run")
    capsule.opened()
    capsule.planned()
    capsule.measured(0, loss=0.25)
    capsule.checked(10, "skip", reference=0)
    document = capsule.partial("the run was never closed")
    assert document["recorded_counts"]["skip"] == 1
    capsule.record("results_summary.json", canonical(document), at=5)
    found = verdict(capsule)
    assert (found.outcome, found.findings) == ("INCOMPLETE", ())
    assert "artifacts: 1 file with the size and digest on record" in found.checked
    assert not any(line.startswith("other files") for line in found.not_checked)


def test_files_of_several_runs_are_counted_each_for_its_run(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run").story()
    at = capsule.size
    capsule.record("runs/r1/results_summary.json", canonical(capsule.summary()), at=at)
    capsule.record("runs/r1/first_fail_iter.txt", b"50\n", at=at)
    assert codes(capsule) == []
    other = "run/r2"
    capsule.opened(subject=other)
    document = canonical(capsule.summary())
    seq = capsule.record("runs/r2/results_summary.json", document, subject=other, at=at + 3)
    assert codes(capsule) == [("artifact.content", seq), ("artifact.count", seq)]


def test_a_users_own_results_elsewhere_are_not_ours_to_count(capsule: Capsule) -> None:
    capsule.record("out/results.json", b"my own format")
    assert codes(capsule) == []


def test_many_faults_in_a_file_are_one_finding_of_bounded_length(capsule: Capsule) -> None:
    content = canonical({"x" * 500 + str(number): "\x1b[2J" for number in range(1000)})
    capsule.record("results.json", content, at=14)
    (finding,) = verdict(capsule).findings
    assert finding.code == "artifact.content"
    assert len(finding.message) < 2_000
    assert "\x1b" not in finding.message


def test_a_record_before_its_run_was_opened_is_checked_like_any_other(tmp_path: Path) -> None:
    capsule = Capsule(tmp_path / "run")
    capsule.record("results.json", b"{}")
    assert codes(capsule) == [("artifact.content", 1), ("event.order", 1)]
    assert verdict(capsule).runs[0].subject == RUN
