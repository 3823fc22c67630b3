"""Run ``ledger calibrate``: read, compute, write two files, or say why not."""

import json
from dataclasses import dataclass
from pathlib import Path

from cli.capsules.calibration import calibrate
from cli.capsules.calibrationcase import CalibrationError, read_case
from cli.capsules.calibrationpage import page
from cli.exits import INTERNAL, OK, REFUTED
from cli.output import Output, say
from cli.render import escape
from ledger.errors import MisuseError
from ledger.stores.files import write_durably


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which capsules take part, and where the answer goes."""

    controls: tuple[Path, ...]
    injected: Path
    onset: int | None
    out: Path
    out_md: Path


def run(wanted: Wanted, *, quiet: bool) -> Output | int:
    """Calibrate, and return the answer or the exit code; *quiet* keeps stdout for JSON."""
    try:
        controls = [read_case(path, "control") for path in wanted.controls]
        found = calibrate(controls, read_case(wanted.injected, "injected"), wanted.onset)
        text = json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False)
        write_durably(wanted.out, text.encode("utf-8", "backslashreplace"))
        write_durably(wanted.out_md, page(found).encode("utf-8", "backslashreplace"))
    except CalibrationError as error:
        say(escape(str(error)))
        return REFUTED
    except MisuseError:
        raise
    except Exception as error:  # noqa: BLE001 - the contract has one token for all of these
        say(escape(f"ERROR:CALIBRATE_INTERNAL {type(error).__name__}: {error}"))
        return INTERNAL
    done = f"WROTE: {wanted.out} {wanted.out_md}"
    return Output("calibrate", found, "" if quiet else escape(done), OK)
