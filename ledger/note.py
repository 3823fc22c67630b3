"""C2SP signed notes: a text, an empty line, and lines that say who signed it.

Two signature types are spoken here: plain Ed25519 (0x01), with which a ledger signs
its checkpoints, and ``cosignature/v1`` (0x04), with which a witness says when it saw
one. Signatures of types or keys that we do not know are carried along and never
counted. Who may be trusted is the caller's to say: there is no default key.

A note's four-byte key id is a hint (format.md section 6): every configured key with
that name and id is tried, and a line that none of them made spoils the whole note.

>>> key_id("ledger.example/demo", bytes(32)).hex()
'8b9ab8b5'
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Final

from ledger.ed25519 import check_public, verify
from ledger.errors import LedgerError, MalformedError, MisuseError
from ledger.wire import MAX_DECIMAL, decode_base64, encode_base64, octets

MAX_NOTE_BYTES: Final = 1 << 20
"""A hundred of the longest (post-quantum, 5 kB) signatures and their text fit in half."""
MAX_SIGNATURES: Final = 100
"""As in golang.org/x/mod/sumdb: a note must not buy a million verifications."""
MAX_VKEY_BYTES: Final = 4096
"""Far more than any name and key; a policy file has one in each line."""

_DASH: Final = "\N{EM DASH} ".encode()
_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_TIME_BYTES: Final = 8
_ID_BYTES: Final = 4
_CONTROL: Final = re.compile(rb"[\x00-\x09\x0b-\x1f]")
_VKEY_ID: Final = re.compile(r"[0-9a-f]{8}")


class SignatureType(IntEnum):
    """The C2SP signature types that we can verify."""

    ED25519 = 0x01
    COSIGNATURE = 0x04


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: a key's name and id, and what it signed, not yet verified."""

    name: str
    key_id: bytes
    raw: bytes

    def __post_init__(self) -> None:
        """Refuse what could not be written as one line.

        Raises:
            MisuseError: The name or a length is wrong.
        """
        _refuse(_name_fault(self.name))
        if len(self.key_id) != _ID_BYTES or not self.raw:
            raise MisuseError("a signature has a key id of 4 bytes, and at least one more")


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key that the caller trusts, under the name it signs with."""

    name: str
    public: bytes
    kind: SignatureType = SignatureType.ED25519

    def __post_init__(self) -> None:
        """Refuse names that no note can hold, and weak keys.

        Raises:
            LedgerError: The name is not a key name, or the key is not a sound one.
        """
        _refuse(_name_fault(self.name))
        if len(self.public) != _KEY_BYTES:
            raise MisuseError(f"an Ed25519 key has {_KEY_BYTES} bytes, not {len(self.public)}")
        # Section 5: under a small-order key anyone can sign anything.
        check_public(self.public)

    @property
    def key_id(self) -> bytes:
        """The four bytes that lead this key's signatures."""
        return key_id(self.name, self.public, kind=self.kind)

    def verify(self, text: str, signature: Signature) -> bool:
        """Tell whether this key made *signature* over *text*."""
        if (signature.name, signature.key_id) != (self.name, self.key_id):
            return False
        raw, message = signature.raw, text.encode()
        if self.kind is SignatureType.COSIGNATURE:
            time = _time_of(raw)
            if time is None:
                return False
            raw, message = raw[_TIME_BYTES:], cosignature_message(text, time)
        return len(raw) == _SIGNATURE_BYTES and verify(self.public, raw, message)


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that can sign: what verifies it, and the call that makes 64 bytes."""

    verifier: Verifier
    sign: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Verified:
    """A signature that verified, and the key that made it."""

    signature: Signature
    verifier: Verifier

    @property
    def time(self) -> int | None:
        """When a witness says it signed, in POSIX seconds; a plain signature does not say."""
        if self.verifier.kind is SignatureType.COSIGNATURE:
            return _time_of(self.signature.raw)
        return None


@dataclass(frozen=True, slots=True)
class UnverifiedNote:
    """A note as it was found: nobody has vouched for its text yet."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """A text that at least one trusted key signed."""

    text: str
    verified: tuple[Verified, ...]
    unverified: tuple[Signature, ...]


class UntrustedNoteError(LedgerError):
    """No key, or not enough keys, that the caller trusts signed the note it carries."""

    def __init__(self, reason: str, note: UnverifiedNote) -> None:
        """Keep the note, so that its reader can be told whom it would have to trust."""
        super().__init__(reason)
        self.reason = reason
        self.note = note


def key_id(name: str, public: bytes, *, kind: SignatureType = SignatureType.ED25519) -> bytes:
    """Return the key id that C2SP recommends: a hint, with only 32 bits."""
    return sha256(name.encode() + b"\n" + bytes((kind,)) + public).digest()[:_ID_BYTES]


def format_vkey(verifier: Verifier) -> str:
    """Return *verifier* in the form that people paste into configuration."""
    encoded = encode_base64(bytes((verifier.kind,)) + verifier.public)
    return f"{verifier.name}+{verifier.key_id.hex()}+{encoded}"


def parse_vkey(vkey: str) -> Verifier:
    """Return the verifier that *vkey* stands for.

    Raises:
        LedgerError: It is not a vkey of a type that we know, or the key is weak.
    """
    raw = octets(vkey, MAX_VKEY_BYTES, what="vkey")
    name, _, rest = raw.decode().partition("+")
    claimed, plus, encoded = rest.partition("+")
    if not plus or _name_fault(name) or not _VKEY_ID.fullmatch(claimed):
        raise MalformedError("a vkey is <name>+<8 hex digits>+<base64>")
    material = decode_base64(encoded.encode())
    if len(material) != 1 + _KEY_BYTES or material[0] not in tuple(SignatureType):
        raise MalformedError("the vkey is not of an Ed25519 key (type 1) or cosigner (type 4)")
    verifier = Verifier(name, material[1:], SignatureType(material[0]))
    if verifier.key_id.hex() != claimed:
        raise MalformedError(f"the vkey's id is {claimed}, its key has {verifier.key_id.hex()}")
    return verifier


def format_signature(signature: Signature) -> str:
    """Return *signature* as a line, with its newline."""
    encoded = encode_base64(signature.key_id + signature.raw)
    return f"\N{EM DASH} {signature.name} {encoded}\n"


def parse_signature(line: str | bytes) -> Signature:
    """Return the signature in *line*, which has no newline any more.

    Raises:
        MalformedError: It is not a signature line.
    """
    raw = octets(line, MAX_NOTE_BYTES, what="signature line")
    encoded_name, space, encoded = raw.removeprefix(_DASH).partition(b" ")
    name = encoded_name.decode()
    if not raw.startswith(_DASH) or not space or _CONTROL.search(raw) or _name_fault(name):
        raise MalformedError("a signature line is an em dash, a key name and base64")
    material = decode_base64(encoded)
    if len(material) <= _ID_BYTES:
        raise MalformedError("the signature line has no signature")
    return Signature(name, material[:_ID_BYTES], material[_ID_BYTES:])


def format_note(text: str, signatures: Sequence[Signature]) -> str:
    """Return the note of *text* with these signature lines.

    Raises:
        MisuseError: No note can have that text, or that many signatures.
    """
    _check_text(text)
    if not 0 < len(signatures) <= MAX_SIGNATURES:
        raise MisuseError(f"a note has 1 to {MAX_SIGNATURES} signatures, not {len(signatures)}")
    note = text + "\n" + "".join(map(format_signature, signatures))
    if len(note.encode()) > MAX_NOTE_BYTES:
        raise MisuseError(f"a note has at most {MAX_NOTE_BYTES} bytes")
    return note


def parse_note(note: str | bytes) -> UnverifiedNote:
    """Return what *note* claims; no signature has been looked at.

    Raises:
        MalformedError: It is not a signed note.
    """
    raw = octets(note, MAX_NOTE_BYTES, what="note")
    if _CONTROL.search(raw):
        raise MalformedError("a note has no control characters but newlines")
    # The last empty line ends the text; the text may have others.
    split = raw.rfind(b"\n\n")
    block = raw[split + 2 :]
    if split < 0 or not block.endswith(b"\n"):
        raise MalformedError("a note is a text, an empty line and signature lines")
    if block.count(b"\n") > MAX_SIGNATURES:
        raise MalformedError(f"a note has at most {MAX_SIGNATURES} signatures")
    signatures = tuple(map(parse_signature, block[:-1].split(b"\n")))
    return UnverifiedNote(raw[: split + 1].decode(), signatures)


def add_signatures(note: str | bytes, signatures: Sequence[Signature]) -> str:
    """Return *note* with further lines, such as the cosignatures of witnesses.

    Raises:
        LedgerError: It is not a note, or there are too many signatures then.
    """
    found = parse_note(note)
    return format_note(found.text, (*found.signatures, *signatures))


def sign_note(text: str, signers: Sequence[Signer]) -> str:
    """Return the note of *text*, signed by each of *signers* in that order.

    Raises:
        MisuseError: No note can have that text, or a signer is no plain Ed25519 key.
    """
    _check_text(text)
    if any(signer.verifier.kind is not SignatureType.ED25519 for signer in signers):
        raise MisuseError("a cosigner signs with a time: use cosign")
    return format_note(text, [_sign(text, signer, message=text.encode()) for signer in signers])


def cosign(text: str, signer: Signer, *, time: int) -> Signature:
    """Return a witness's signature over *text*, a checkpoint it saw at *time* (POSIX seconds).

    Raises:
        MisuseError: The signer is no cosigner, or the time cannot be written.
    """
    _check_text(text)
    if signer.verifier.kind is not SignatureType.COSIGNATURE:
        raise MisuseError("only a key of type cosignature/v1 may cosign")
    message = cosignature_message(text, time)
    return _sign(text, signer, message=message, prefix=time.to_bytes(_TIME_BYTES, "big"))


def cosignature_message(text: str, time: int) -> bytes:
    """Return what a witness signs. Its own name is not in it: one key, one witness.

    Raises:
        MisuseError: The time is out of range.
    """
    if not 0 <= time <= MAX_DECIMAL:
        raise MisuseError(f"no cosignature can bear the time {time}")
    return f"cosignature/v1\ntime {time}\n{text}".encode()


def open_note(note: str | bytes, verifiers: Iterable[Verifier]) -> Note:
    """Return *note* with what *verifiers* say of it; at least one of them signed it.

    Lines of keys that are not among *verifiers* are returned as unverified.

    Raises:
        MalformedError: It is not a note, or a line in the name of a known key is false.
        UntrustedNoteError: None of *verifiers* signed it.
    """
    found = parse_note(note)
    known: dict[tuple[str, bytes], list[Verifier]] = {}
    for verifier in verifiers:
        known.setdefault((verifier.name, verifier.key_id), []).append(verifier)
    verified, unverified = [], []
    for signature in found.signatures:
        candidates = known.get((signature.name, signature.key_id))
        if candidates is None:
            unverified.append(signature)
            continue
        signers = [each for each in candidates if each.verify(found.text, signature)]
        if not signers:
            raise MalformedError(f"the signature of {signature.name!a} does not verify")
        verified.append(Verified(signature, signers[0]))
    if not verified:
        raise UntrustedNoteError("no key that you trust signed this note", found)
    return Note(found.text, tuple(verified), tuple(unverified))


def _sign(text: str, signer: Signer, *, message: bytes, prefix: bytes = b"") -> Signature:
    """Return the signer's signature, after a look at whether it is its own."""
    verifier = signer.verifier
    signature = Signature(verifier.name, verifier.key_id, prefix + signer.sign(message))
    # A signer wired to the wrong key would publish a note that everyone must reject.
    if not verifier.verify(text, signature):
        raise MisuseError(f"the signing key of {verifier.name!a} is not the one that was named")
    return signature


def _time_of(raw: bytes) -> int | None:
    """Return the time in front of a cosignature, if it has the length of one."""
    time = int.from_bytes(raw[:_TIME_BYTES], "big")
    return time if len(raw) == _TIME_BYTES + _SIGNATURE_BYTES and time <= MAX_DECIMAL else None


def _check_text(text: str) -> None:
    """Refuse a text that no note can hold."""
    try:
        raw = text.encode()
    except UnicodeError as error:
        raise MisuseError("the text of a note is valid Unicode") from error
    if not raw.endswith(b"\n") or _CONTROL.search(raw):
        raise MisuseError("the text of a note ends in a newline and has no control characters")


def _name_fault(name: str) -> str | None:
    """Say why *name* cannot be a key name, or nothing."""
    if not name or "+" in name or any(character.isspace() for character in name):
        return "a key name is not empty and has neither spaces nor plus signs"
    if any(character < " " or "\ud800" <= character <= "\udfff" for character in name):
        return "a key name is valid Unicode without control characters"
    return None


def _refuse(fault: str | None) -> None:
    """Raise *fault*, if there is one, as the caller's."""
    if fault is not None:
        raise MisuseError(fault)
