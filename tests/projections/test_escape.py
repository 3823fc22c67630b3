import html
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from story import INVISIBLE

from projections.document import (
    Block,
    Heading,
    Listing,
    Paragraph,
    Quoted,
    Table,
    to_markdown,
    to_text,
)
from projections.escape import markdown_code, plain_quote, visible, visible_json


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_code_span_holds_whatever_is_put_into_it(text: str) -> None:
    span = markdown_code(text, limit=10**6)
    assert span == "(empty)" if not text else re.fullmatch(r"`[^`|<>\n]+`", span)
    assert not INVISIBLE.search(span)
    assert html.escape(span, quote=False).replace("&amp;", "&") == span


@example("\\u{1b}")
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_shown_can_be_read_back(text: str) -> None:
    """Two texts are never shown alike: an escape cannot be forged by its own spelling."""
    for shown in (visible(text, limit=10**6), markdown_code(text or "-", limit=10**6)[1:-1]):
        back = re.sub(r"\\u\{([0-9a-f]+)\}", lambda match: chr(int(match[1], 16)), shown)
        assert back in {text, "-"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain-name/0.1", "plain-name/0.1"),
        ("owner 72cd6e84", '"owner 72cd6e84"'),
        ("runner]", '"runner]"'),
        ("two  spaces", '"two  spaces"'),
        (" lead", '" lead"'),
        ("", '""'),
        ('say "x"', '"say \\u{22}x\\u{22}"'),
        ("\x1b[31m", '"\\u{1b}[31m"'),
        ("a\u202eb", "a\\u{202e}b"),
        ("日本語-é", "日本語-é"),
    ],
)
def test_a_name_in_plain_text_is_quoted_where_it_could_pass_for_more(text: str, shown: str) -> None:
    assert plain_quote(text) == shown


def test_a_payload_of_an_unknown_type_is_shown_as_json_with_nothing_hidden() -> None:
    shown = visible_json({"a\x1b": "\u202e\\ \U000e0041"}, limit=99)
    assert shown == r'{"a\u001b":"\u202e\\ \udb40\udc41"}'
    assert json.loads(shown) == {"a\x1b": "\u202e\\ \U000e0041"}


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    assert visible("x" * 100, limit=10) == "xxxxxxxxx… (+91)"
    assert visible("x" * 10, limit=10) == "x" * 10


def test_a_document_has_two_looks() -> None:
    blocks: list[Block] = [
        Heading(2, "Title"),
        Paragraph(("See ", Quoted("a|b"))),
        Table(("N", "Name"), (("1", Quoted("x")), ("22222", "longer")), right=frozenset({0})),
        Listing(("run it",)),
    ]
    assert to_markdown(blocks).decode() == (
        "## Title\n\nSee `a\\u{7c}b`\n\n"
        "|     N | Name   |\n| ----: | ------ |\n|     1 | `x`    |\n| 22222 | longer |\n\n"
        "```text\nrun it\n```\n"
    )
    assert to_text(blocks).decode() == (
        "Title\n-----\n\nSee a|b\n\n    N  Name\n    1  x\n22222  longer\n\n    run it\n"
    )
