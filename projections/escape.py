r"""Show text from a ledger so that it can neither hide nor act.

Names of models, metrics, keys and files are written by whoever holds a key, and
end up on terminals and in rendered Markdown. Whatever is invisible, reorders the
line or moves the cursor is shown as ``\u{hex}`` instead, and so is what could end
a Markdown code span or table cell, or begin HTML.

The ranges are written out, and not asked of ``unicodedata``, because that changes
with the Python version, and the same ledger must give the same bytes on each.

>>> print(visible("gpt\x1b[2J\u202e"))
gpt\u{1b}[2J\u{202e}
>>> print(markdown_code("a|b`<i>"))
`a\u{7c}b\u{60}\u{3c}i\u{3e}`
"""

import json
import re

LONGEST = 96  # characters of one value in a report: more would drown the rest

_HIDDEN = (
    "\x00-\x1f\x7f-\x9f"  # controls: newlines and terminal escapes
    "\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f"  # blank or soft
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164"  # spaces, bidi, zero width
    "\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff"  # surrogates, private, specials
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U0010ffff"  # format, tags, private
)
_ESCAPED = re.compile(f"[\\\\{_HIDDEN}]")
_ESCAPED_IN_MARKDOWN = re.compile(f"[\\\\`|<>{_HIDDEN}]")
_HIDDEN_ONE = re.compile(f"[{_HIDDEN}]")
_BARE = re.compile(r'[^ ",=()\[\]]+')


def visible(text: str, *, limit: int = LONGEST) -> str:
    """Return *text* on one line, in the order in which it is written, with nothing hidden."""
    return _ESCAPED.sub(_code_point, _cut(text, limit))


def markdown_code(text: str, *, limit: int = LONGEST) -> str:
    """Return *text* as a Markdown code span that no content can leave, in or out of a table."""
    if not text:
        return "(empty)"
    return f"`{_ESCAPED_IN_MARKDOWN.sub(_code_point, _cut(text, limit))}`"


def plain_quote(text: str, *, limit: int = LONGEST) -> str:
    """Return *text* for a terminal: bare, or in quotes where it could pass for words of ours."""
    shown = visible(text, limit=limit)
    if _BARE.fullmatch(shown):
        return shown
    return '"' + shown.replace('"', r"\u{22}") + '"'


def visible_json(value: object, *, limit: int = LONGEST) -> str:
    """Return *value* as JSON on one line, with what is hidden in JSON's own escapes."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return _HIDDEN_ONE.sub(lambda match: json.dumps(match[0])[1:-1], _cut(text, limit))


def number(value: float | str | None) -> str:
    """Return a number in six digits; one that is not finite by its name, none as a dash."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else format(value, ".6g")


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[: limit - 1]}… (+{len(text) - limit + 1})"


def _code_point(match: re.Match[str]) -> str:
    return f"\\u{{{ord(match[0]):x}}}"
