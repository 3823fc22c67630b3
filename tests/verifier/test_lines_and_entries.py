"""Lines and entries made against sections 1 and 2 of the page."""

from collections.abc import Callable
from pathlib import Path

from tests.verifier.builder import (
    OTHER,
    OWNER,
    Builder,
)
from tests.verifier.cases import Cases, Expected, findings_of

CASES = Cases()
case = CASES.add


@case(("line.framing", 1))
def blank_line_between(b: Builder) -> None:
    b.garbage(b"\n")
    b.add(prev="0" * 64)  # the prev behind an unframed line is not checked


@case(("line.framing", 1), ("line.framing", 2), ("line.framing", 3), ("chain.seq", 4))
def entries_missing_behind_unframed_lines(b: Builder) -> None:
    for _ in range(3):
        b.garbage()
    b.add(seq=6)


@case(("line.framing", 2))
def crlf(b: Builder) -> None:
    b.add()
    b.add()
    b.lines[2] = b.lines[2][:-1] + b"\r\n"


@case(("line.framing", 1))
def overlong_line(b: Builder) -> None:
    b.garbage(b'{"entry":{' + b"x" * 300_000 + b"\n")
    b.add(prev=None)


@case(("line.framing", 1), ("entry.json", 1))
def unreadable_last_line_without_lf(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{ }'))
    b.lines[-1] = b.lines[-1][:-1]


@case(("entry.json", 1), ("entry.hash", 1))
def unreadable_entry_with_another_hash(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{]}'), digest="0" * 64)
    b.add()


@case(("entry.json", 1), ("chain.prev", 2))
def prev_is_compared_with_the_hash_of_an_unreadable_entry(b: Builder) -> None:
    b.add(data="\ud800")
    b.add(prev="1" * 64)


@case(("entry.members", 1))
def unreadable_entry_says_nothing_of_its_chain(b: Builder) -> None:
    b.add(edit=('"subject":"run/1",', ""), prev="1" * 64, ledger="2" * 64, id="id-00000")
    b.seq = 2
    b.add()


@case(("entry.version", 1))
def newer_version_says_nothing_else(b: Builder) -> None:
    b.add(v=2, prev="1" * 64, digest="0" * 64, key=OTHER, more=1, seq=7)
    b.seq = 2
    b.add()


@case(("entry.version", 1))
def version_zero(b: Builder) -> None:
    b.add(v=0)


@case(("entry.members", 1))
def version_one_as_float(b: Builder) -> None:
    b.add(edit=('"v":1,', '"v":1.0,'))


@case(("entry.members", 1))
def version_true(b: Builder) -> None:
    b.add(v=True)


@case(("entry.members", 1))
def del_in_subject(b: Builder) -> None:
    b.add(subject="a\x7fb")


@case()
def c1_control_and_noncharacter_in_subject(b: Builder) -> None:
    b.add(subject="a\x85\ufffe")


@case(("entry.members", 1))
def escaped_slash_in_subject(b: Builder) -> None:
    b.add(edit=("run/1", r"run\/1"))


@case(("entry.members", 1))
def empty_id(b: Builder) -> None:
    b.add(id="")


@case(("entry.members", 1))
def space_in_id(b: Builder) -> None:
    b.add(id="a b")


@case(("entry.members", 1))
def data_is_a_list(b: Builder) -> None:
    b.add(data=[])


@case(("entry.members", 1))
def type_of_one_segment(b: Builder) -> None:
    b.add("gate", key=OWNER)


@case(("entry.json", 1))
def seq_beyond_the_safe_integers(b: Builder) -> None:
    b.add(edit=('"seq":1,', '"seq":9007199254740992,'))


@case()
def greatest_safe_integers(b: Builder) -> None:
    b.add(data={"a": 2**53 - 1, "b": -(2**53) + 1, "c": 1e-400})


@case(("entry.json", 1))
def integer_beyond_in_data(b: Builder) -> None:
    b.add(data={"a": -(2**53)})


@case(("entry.json", 1))
def minus_zero(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":-0}'))


@case()
def minus_zero_as_float(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":-0.0,"b":-0e1,"c":1e-400,"d":2E+5}'))


@case(("entry.json", 1))
def number_that_overflows(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":1e400}'))


@case()
def depth_64(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":' + "[" * 62 + "]" * 62 + "}"))


@case(("entry.json", 1))
def depth_65(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":' + "[" * 63 + "]" * 63 + "}"))


@case(("entry.json", 1))
def depth_without_end(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":' + "[" * 60_000 + "}"))


@case(("entry.json", 1))
def doubled_name_deep_inside(b: Builder) -> None:
    b.add(edit=('"data":{}', r'"data":{"a":[{"b":1,"\u0062":2}]}'))


@case()
def same_name_in_two_objects(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{"a":[{"b":1},{"b":2}],"b":{"a":{}}}'))


@case(("entry.json", 1))
def escaped_nul_in_data(b: Builder) -> None:
    b.add(edit=('"data":{}', r'"data":{"a":"\u0000"}'))


@case()
def backslash_before_u0000(b: Builder) -> None:
    b.add(edit=('"data":{}', r'"data":{"a":"\\u0000"}'))


@case(("entry.json", 1))
def lone_high_surrogate(b: Builder) -> None:
    b.add(edit=('"data":{}', r'"data":{"a":"\ud83dx"}'))


@case()
def escaped_pair_of_surrogates(b: Builder) -> None:
    b.add(edit=('"data":{}', r'"data":{"a":"\ud83d\ude00"}'))


@case(("entry.json", 1))
def tab_outside_strings(b: Builder) -> None:
    b.add(edit=('"data":{}', '"data":{\t}'))


@case(("time.form", 1))
def february_30(b: Builder) -> None:
    b.add(time="2026-02-30T00:00:00.000000Z")


@case()
def leap_day(b: Builder) -> None:
    b.add(time="2028-02-29T23:59:59.999999Z")


@case(("time.form", 1))
def no_leap_day(b: Builder) -> None:
    b.add(time="2027-02-29T00:00:00.000000Z")


@case(("time.form", 1))
def year_zero(b: Builder) -> None:
    b.add(time="0000-01-01T00:00:00.000000Z")


@case(("time.form", 1))
def arabic_digits(b: Builder) -> None:
    b.add(time="٢٠٢٦-01-01T00:00:00.000000Z")


@case(("time.form", 2))
def malformed_time_is_no_measure_for_the_next(b: Builder) -> None:
    b.add(time="2026-01-01T00:00:01.000000Z")
    b.add(time="9999")
    b.add(time="2026-01-01T00:00:01.000000Z")


@case(("time.backward", 2))
def time_is_compared_with_the_one_before_not_the_latest(b: Builder) -> None:
    b.add(time="2026-01-01T00:00:09.000000Z")
    b.add(time="2026-01-01T00:00:05.000000Z")
    b.add(time="2026-01-01T00:00:06.000000Z")


@case(("entry.members", 1))
def time_of_an_unreadable_entry_does_not_count(b: Builder) -> None:
    b.add(time="2027-01-01T00:00:00.000000Z", subject=1)
    b.add()


@CASES.parametrize
def test_a_ledger_has_exactly_these_findings(
    make: Callable[[Builder], None], expected: Expected, tmp_path: Path
) -> None:
    assert findings_of(make, tmp_path) == expected
