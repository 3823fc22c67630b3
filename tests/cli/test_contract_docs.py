"""The contract's page names every token that the code can say, and no other."""

import re

from cli_shell import ROOT

PAGE = (ROOT / "docs" / "reference" / "contract.md").read_text(encoding="utf-8")
SOURCES = [
    *(ROOT / "verifier" / "contract").glob("*.py"),
    *(ROOT / "cli" / "capsules").glob("*.py"),
]
_TOKEN = re.compile(r"\b[A-Z]{3,}(?:_[A-Z]+)+\b")
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_OF_A_LINE = re.compile(r'_warn\(\s*"([A-Z_]+)"')
_NO_TOKENS = {"RUN_A", "RUN_B", "RUN_EVENTS"}
_BUILT = {"INVALID_CONTROL_CAPSULE", "INVALID_INJECTED_CAPSULE"}  # from the label of a capsule


def said() -> set[str]:
    """The tokens in string literals; what is said of a line of the log gets its prefix there."""
    texts = [path.read_text(encoding="utf-8") for path in SOURCES]
    literals = (literal for text in texts for literal in _STRING.findall(text))
    found = {token for literal in literals for token in _TOKEN.findall(literal)}
    of_a_line = {token for text in texts for token in _OF_A_LINE.findall(text)}
    whole = {f"GOVERNANCE_LOG_{token}" for token in of_a_line}
    return (found - of_a_line - _NO_TOKENS) | whole | _BUILT


def test_every_token_is_on_the_page_and_every_token_of_the_page_is_said() -> None:
    assert said() == set(_TOKEN.findall(PAGE))
