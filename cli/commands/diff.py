"""``ledger diff``."""

from pathlib import Path

from cli.capsules import difference
from cli.capsules.options import format_option, gate_preset_option
from cli.command import make_command, path_argument, wants_json


@make_command("diff")
@path_argument("one", "A")
@path_argument("other", "B")
@format_option("text", "json")
@gate_preset_option
def command(one: Path, other: Path, *, fmt: str, allow_gate_preset_mismatch: bool) -> int:
    """Compare the capsules in A and B: header, decisions, and how far the metrics went apart.

    Both must be valid under all strict rules. Exit codes: 0 comparable, 2 invalid or not.
    """
    return difference.diff(
        (one, other),
        fmt="json" if wants_json() else fmt,
        allow_gate_preset_mismatch=allow_gate_preset_mismatch,
    )
