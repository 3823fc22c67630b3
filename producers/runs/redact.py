"""Keep secrets out of what is recorded: names and values that look like one are masked.

A secret can stand in an environment variable, in an option (``--token X``,
``--api-key=X``, ``-p X``), in an assignment (``KEY=X``), inside a longer argument
(a URL, a JSON text, a shell line) and in the runner's own output. What the first
forms give away is masked wherever else it occurs. Masking errs on the safe side:
a harmless value behind a name like ``--key`` is masked too.

>>> redact_argv(["train", "--api-key=abc", "--lr", "0.1"]).argv
('train', '--api-key=***REDACTED***', '--lr', '0.1')
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

MASK = "***REDACTED***"

DENY_EXACT = ("LEDGER_KEY", "LEDGER_KEY_FD", "LEDGER_PASSPHRASE", "SLURM_JWT")

# A working directory, what tokenizers and attention heads are called: no secrets.
_HARMLESS = (
    r"PWD|(?:.*_)?(?:PAD|EOS|BOS|UNK|SEP|CLS|MASK|IMAGE|STOP|START|SPECIAL|PER|NUM|MAX|MIN)"
    r"_TOKEN(?:_ID)?|(?:.*_)?KEY_VALUE_.*"
)
_WORDS = (
    r"API_?KEYS?|ACCESS_?KEYS?|SECRETS?(?:_?KEY)?|PRIVATE_?KEYS?|SIGNING_?KEYS?|KEY|TOKEN|"
    r"ACCESS_?TOKEN|AUTH_?TOKEN|PASS|PASSCODE|PWD|AUTH|AUTHORIZATION|"
    r"BEARER|SESSION|COOKIES?|CREDS?|JWT|SIG|AMZ_SIGNATURE"
)
_INSIDE = r"PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|APIKEY|TOKEN$"
_NAME = rf"^(?!(?:{_HARMLESS})$)(?:.*?(?:^|_)(?:{_WORDS})(?:$|_)|.*?(?:{_INSIDE}))"
_VALUES = (
    r"\b(?:hf|ghp|gho|ghs|ghu|github_pat|glpat|npm|sk|pk|rk|xox[abprs])[_-][A-Za-z0-9_-]{16,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bAIza[A-Za-z0-9_-]{35}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/=\s]*(?:-----END [A-Z ]*KEY-----)?",
    r"(?i:\bbearer\s+)(\S+)",
    r"(?i:\bbasic\s+)([A-Za-z0-9+/]{12,}=*)",
    r"//[^/\s:@]*:([^/\s@]+)@",
    r"://([^/\s:@]{16,})@",
    r"(?:^|(?<=\s))(?:-u|--user|--proxy-user)[\s=]+[\"']?[^\s:\"']*:([^\s\"']+)",
    r"\bmysql\w*\s(?:[^|;]*\s)?-p([^\s\"']+)",
)
DENY_REGEX = (_NAME, *_VALUES)
"""The first is for names (in upper case, ``_`` for other signs), the rest are for values."""

_NAME_RE = re.compile(_NAME)
_VALUE_RES = tuple(re.compile(pattern, re.ASCII) for pattern in _VALUES)
# What marks a secret in free text, where "KeyError: 'loss'" must stay readable.
_SPOKEN_RE = re.compile(
    r"(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIALS?|AUTHORIZATION|TOKEN"
    r"|(?:API|ACCESS|SECRET|PRIVATE|SIGNING)_?KEY)$"
)
_PLAIN_NUMBER = re.compile(r"[-+0-9.eE%]+")
_PORT = re.compile(r"[0-9]{1,5}")
# A name, then = or : or (behind dashes) a space. From the beginning of a word only, and
# without the value: else a long argument would be searched in quadratic time.
_INLINE_NAME_RE = re.compile(r"""(?<![\w.+-])(?:--?[\w.-]+[\s=:]+|[\w.+-]+["']?\s*[=:]\s*)["']?""")
_INLINE_VALUE_RE = re.compile(r"""[^\s"'&,;}]+""")
_ASSIGNED = re.compile(r"[-+\w.]+")
_LOGINS = ("-u", "--user", "--proxy-user")  # NAME:PASSWORD, as curl takes it
_SHORTEST = 8  # shorter values are too common to be masked wherever they occur


@dataclass(frozen=True, slots=True)
class Redacted:
    """An argument list without its secrets, and the secrets, to mask them elsewhere too."""

    argv: tuple[str, ...]
    secrets: frozenset[str]


def names_a_secret(name: str) -> bool:
    """Tell whether a variable or option of this name holds a secret."""
    return name in DENY_EXACT or _NAME_RE.match(_plain(name)) is not None


def known_secrets(argv: Sequence[str], env: Mapping[str, str]) -> frozenset[str]:
    """Return the secrets that a command line and an environment give away, all of it.

    A path that exists is none, whatever its variable is called (``LEDGER_KEY``): the
    file is the secret, and masking where it lies would mask where the run lies.
    """
    secrets = redact_argv(argv).secrets | redact_env(env)[1]
    return frozenset(secret for secret in secrets if not _is_place(secret))


def redact_argv(argv: Sequence[str]) -> Redacted:
    """Return *argv* with the values of secret options and assignments masked."""
    result: list[str] = []
    secrets: set[str] = set()
    option = ""
    for argument in argv:
        if option and _is_value_of(option, argument):
            result.append(_redact_value(option, argument, secrets))
            option = ""
            continue
        name, equals, value = argument.partition("=")
        is_option = argument.startswith("-") and not any(c.isspace() for c in name)
        takes = is_option and not equals and (name in {"-p", *_LOGINS} or names_a_secret(name))
        option = name if takes else ""
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


def redact_text(text: str) -> str:
    """Return free text, such as a line of output, without what says that it is a secret."""
    return _redact_names(_redact_values(text, set()), set(), _speaks_of_a_secret)


def mask_all(texts: Iterable[str], secrets: Iterable[str]) -> tuple[str, ...]:
    """Return *texts* with each long enough secret masked wherever it occurs."""
    result = tuple(texts)
    for secret in long_enough(secrets):
        result = tuple(text.replace(secret, MASK) for text in result)
    return result


def mask_data(value: Any, secrets: Iterable[str]) -> Any:
    """Return a JSON value with each long enough secret masked in all of its texts, names too."""
    words = long_enough(secrets)

    def clean(part: Any) -> Any:
        if isinstance(part, str):
            for word in words:
                part = part.replace(word, MASK)
            return part
        if isinstance(part, Mapping):
            return {clean(name): clean(item) for name, item in part.items()}
        return [clean(item) for item in part] if isinstance(part, list | tuple) else part

    return clean(value)


def long_enough(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return the secrets that can be masked anywhere, longest first.

    With them the forms in which they may occur: in a URL, in a JSON text, line by line.
    """
    forms: set[str] = set()
    for secret in secrets:
        escaped = json.dumps(secret)[1:-1]
        forms |= {secret, quote(secret, safe=""), unquote(secret), escaped, *secret.splitlines()}
    kept = {form for form in forms if len(form) >= _SHORTEST and form not in MASK}
    return tuple(sorted(kept, key=lambda form: (-len(form), form)))


def _is_value_of(option: str, argument: str) -> bool:
    if option == "-p":
        return not argument.startswith("-")
    return not argument.startswith("--")


def _redact_value(option: str, value: str, secrets: set[str]) -> str:
    """Return the value of an option that may be secret; of a port and a user's name it is not."""
    if option == "-p" and _PORT.fullmatch(value):
        return value
    if option in _LOGINS:
        name, colon, password = value.partition(":")
        if not password:
            return value
        secrets.add(password)
        return f"{name}{colon}{MASK}"
    secrets.add(value)
    return MASK


def _redact_inline(text: str, secrets: set[str]) -> str:
    text = _redact_values(text, secrets)
    return _redact_names(_redact_json(text, secrets), secrets, names_a_secret)


def _redact_values(text: str, secrets: set[str]) -> str:
    def mask_value(match: re.Match[str]) -> str:
        secret = match[match.lastindex or 0]  # the group, where only a part is secret
        secrets.add(secret)
        return match[0].replace(secret, MASK)

    for pattern in _VALUE_RES:
        text = pattern.sub(mask_value, text)
    return text


def _redact_json(text: str, secrets: set[str]) -> str:
    """Mask what stands under a secret's name in a JSON text, at the end of an argument."""
    at = min((i for i in (text.find("{"), text.find("[")) if i >= 0), default=-1)
    if at < 0:
        return text
    try:
        value = json.loads(text[at:])
    except (ValueError, RecursionError):
        return text
    found: set[str] = set()
    shown = _redact_members(value, found)
    if not found:
        return text
    secrets |= found
    return text[:at] + json.dumps(shown, ensure_ascii=False)


def _redact_members(value: Any, found: set[str], *, secret: bool = False) -> Any:
    if isinstance(value, dict):
        return {
            name: _redact_members(item, found, secret=secret or names_a_secret(name))
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [_redact_members(item, found, secret=secret) for item in value]
    if not secret or value is None or isinstance(value, bool) or value == MASK:
        return value
    found.add(str(value))
    return MASK


def _redact_names(text: str, secrets: set[str], is_secret: Callable[[str], bool]) -> str:
    parts = []
    place = 0
    while name := _INLINE_NAME_RE.search(text, place):
        parts.append(text[place : name.end()])
        place = name.end()
        if is_secret(name[0].strip(" \t\n=:\"'")):
            value = _INLINE_VALUE_RE.match(text, place)
            if value is not None and _is_worth(value[0], is_secret):
                secrets.add(value[0])
                parts.append(MASK)
                place = value.end()
    return "".join(parts) + text[place:]


def _is_worth(value: str, is_secret: Callable[[str], bool]) -> bool:
    if MASK in value:
        return False
    if is_secret is names_a_secret:
        return True
    return len(value) >= _SHORTEST and _PLAIN_NUMBER.fullmatch(value) is None


def _speaks_of_a_secret(name: str) -> bool:
    plain = _plain(name)
    return _SPOKEN_RE.search(plain) is not None and _NAME_RE.match(plain) is not None


def _plain(name: str) -> str:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)  # apiKey is api_key
    return re.sub(r"[^A-Z0-9]+", "_", parted.upper()).strip("_")


def _is_place(value: str) -> bool:
    try:
        return value.startswith("/") and Path(value).exists()
    except (OSError, ValueError):
        return False
