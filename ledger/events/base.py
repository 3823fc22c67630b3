"""What the payload models of every family share: closed, frozen, strict.

A payload is the ``data`` of an entry (format.md section 2). The models refuse
unknown members, so that a misspelt field is an error and not a silent loss.

>>> Number.__metadata__
()
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Payload(BaseModel):
    """Base of all payload models: no unknown members, no coercion, no mutation."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
    )


Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest in lowercase hex."""

NonFinite = Literal["NaN", "Infinity", "-Infinity"]
"""A number that JSON cannot hold; never written as ``null``."""

Number = float | NonFinite
"""A measured value, finite or not."""

Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""A non-negative integer that JSON readers agree on."""

Base64Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]
"""The base64 of a raw 32-byte Ed25519 public key."""

Text = Annotated[str, Field(min_length=1, max_length=4096)]
"""A short human text that must not be empty."""
