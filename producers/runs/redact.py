"""Keep secrets out of what is recorded: names and values that look like one are masked.

A secret can stand in an environment variable, in an option (``--token X``,
``--api-key=X``), in an assignment (``KEY=X``), inside a longer argument (a URL,
a JSON text, a shell line) and in the runner's own output. What the first forms
give away is masked wherever else it occurs. Masking errs on the safe side: a
harmless value behind a name like ``--key`` is masked too.

>>> redact_argv(["train", "--api-key=abc", "--lr", "0.1"]).argv
('train', '--api-key=***REDACTED***', '--lr', '0.1')
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MASK = "***REDACTED***"

DENY_EXACT = ("LEDGER_KEY", "LEDGER_KEY_FD", "LEDGER_PASSPHRASE", "SLURM_JWT")

_WORDS = (
    r"API_?KEYS?|ACCESS_?KEYS?|SECRETS?(?:_?KEY)?|PRIVATE_?KEYS?|SIGNING_?KEYS?|KEY|TOKEN|"
    r"ACCESS_?TOKEN|AUTH_?TOKEN|PASSWORDS?|PASSWD|PASSPHRASE|PASSCODE|AUTH|AUTHORIZATION|"
    r"BEARER|SESSION|COOKIES?|CREDENTIALS?|CREDS?|JWT"
)
_NAME = rf"(?:^|_)(?:{_WORDS})(?:$|_)"
_VALUES = (
    r"\b(?:hf|ghp|gho|ghs|github_pat|glpat|sk|pk|rk|xox[abprs])[_-][A-Za-z0-9_-]{16,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"(?i:\bbearer\s+)(\S+)",
    r"://[^/\s:@]*:([^/\s@]+)@",
)
DENY_REGEX = (_NAME, *_VALUES)
"""The first is for names (in upper case, ``_`` for other signs), the rest are for values."""

_NAME_RE = re.compile(_NAME)
_VALUE_RES = tuple(re.compile(pattern) for pattern in _VALUES)
# A name, then = or : or (behind dashes) a space. From the beginning of a word only, and
# without the value: else a long argument would be searched in quadratic time.
_INLINE_NAME_RE = re.compile(r"""(?<![\w.+-])(?:--?[\w.-]+[\s=:]+|[\w.+-]+["']?\s*[=:]\s*)["']?""")
_INLINE_VALUE_RE = re.compile(r"""[^\s"'&,;}]+""")
_ASSIGNED = re.compile(r"[-+\w.]+")
_SHORTEST = 8  # shorter values are too common to be masked wherever they occur


@dataclass(frozen=True, slots=True)
class Redacted:
    """An argument list without its secrets, and the secrets, to mask them elsewhere too."""

    argv: tuple[str, ...]
    secrets: frozenset[str]


def names_a_secret(name: str) -> bool:
    """Tell whether a variable or option of this name holds a secret."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)  # apiKey is api_key
    plain = re.sub(r"[^A-Z0-9]+", "_", plain.upper())
    return name in DENY_EXACT or _NAME_RE.search(plain.strip("_")) is not None


def redact_argv(argv: Sequence[str]) -> Redacted:
    """Return *argv* with the values of secret options and assignments masked."""
    result: list[str] = []
    secrets: set[str] = set()
    value_expected = False
    for argument in argv:
        if value_expected and not argument.startswith("--"):
            secrets.add(argument)
            result.append(MASK)
            value_expected = False
            continue
        name, equals, value = argument.partition("=")
        is_option = argument.startswith("-") and not any(c.isspace() for c in name)
        value_expected = is_option and not equals and names_a_secret(name)
        if equals and value and _ASSIGNED.fullmatch(name) and names_a_secret(name):
            secrets.update((value, *value.split()[:1]))  # a shell line: its first word too
            result.append(f"{name}={MASK}")
        else:
            result.append(_redact_inline(argument, secrets))
    return Redacted(mask_all(result, secrets), frozenset(secrets))


def redact_env(env: Mapping[str, str]) -> tuple[dict[str, str], frozenset[str]]:
    """Return *env* with secret values masked, and those values; every key stays."""
    result = {}
    secrets: set[str] = set()
    for name, value in env.items():
        if names_a_secret(name):
            secrets.add(value)
            result[name] = MASK
        else:
            result[name] = _redact_inline(value, secrets)
    masked = mask_all(result.values(), secrets)
    return dict(zip(result, masked, strict=True)), frozenset(secrets)


def mask_all(texts: Iterable[str], secrets: Iterable[str]) -> tuple[str, ...]:
    """Return *texts* with each long enough secret masked wherever it occurs."""
    result = tuple(texts)
    for secret in long_enough(secrets):
        result = tuple(text.replace(secret, MASK) for text in result)
    return result


def long_enough(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return the secrets that can be masked anywhere, longest first."""
    kept = {s for s in secrets if len(s) >= _SHORTEST and s not in MASK}
    return tuple(sorted(kept, key=lambda s: (-len(s), s)))


def _redact_inline(text: str, secrets: set[str]) -> str:
    def mask_value(match: re.Match[str]) -> str:
        secret = match[match.lastindex or 0]  # the group, where only a part is secret
        secrets.add(secret)
        return match[0].replace(secret, MASK)

    for pattern in _VALUE_RES:
        text = pattern.sub(mask_value, text)
    parts = []
    place = 0
    while name := _INLINE_NAME_RE.search(text, place):
        parts.append(text[place : name.end()])
        place = name.end()
        if names_a_secret(name[0].strip(" \t\n=:\"'")):
            value = _INLINE_VALUE_RE.match(text, place)
            if value is not None and value[0] != MASK:
                secrets.add(value[0])
                parts.append(MASK)
                place = value.end()
    return "".join(parts) + text[place:]


class StreamMask:
    """Mask secrets in a stream of bytes, also where one is cut between two chunks."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """Keep the secrets as bytes; with none of them the stream passes untouched."""
        words = [s.encode("utf-8", "surrogateescape") for s in long_enough(secrets)]
        self._pattern = re.compile(b"|".join(re.escape(w) for w in words)) if words else None
        self._overlap = max((len(w) for w in words), default=1) - 1
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Return what is certain not to be the beginning of a secret."""
        if self._pattern is None:
            return chunk
        return self._release(self._held + chunk, keep=self._overlap)

    def finish(self) -> bytes:
        """Return the rest."""
        return self._release(self._held, keep=0)

    def _release(self, data: bytes, *, keep: int) -> bytes:
        if self._pattern is not None:
            data = self._pattern.sub(MASK.encode(), data)
        cut = max(len(data) - keep, 0)
        self._held = data[cut:]
        return data[:cut]
