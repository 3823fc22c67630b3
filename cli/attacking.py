"""``ledger attack``: the detection table."""

from collections.abc import Sequence
from pathlib import Path

from cli.attacks import Result, run_all
from cli.exits import OK, REFUTED
from cli.output import Output
from cli.progress import Progress
from cli.render import columns


def attack(path: Path) -> Output:
    """Mount the catalogue, and return the table.

    Raises:
        LedgerError: There is no ledger, or it has a fault already.
    """
    with Progress("attacking copies") as progress:
        results = [*run_all(path, watch=progress)]
    missed = [result for result in results if result.missed]
    code = REFUTED if missed else OK
    data = {"attacks": [result.to_json() for result in results], "missed": len(missed)}
    return Output("attack", data, f"{_table(results)}\n\n{_last_line(results)}", code)


def _table(results: Sequence[Result]) -> str:
    rows = [["ATTACK", "THE ATTACKER HAS", "FOUND", "EXIT", ""]]
    for result in results:
        exit_code = "-" if result.exit_code is None else str(result.exit_code)
        found = ", ".join(result.found) or "-"
        rows.append([result.attack.name, result.attack.needs, found, exit_code, _word(result)])
    return columns(rows)


def _word(result: Result) -> str:
    if result.caught is None:
        return "not tried: no run directory with results"
    if not result.attack.codes:
        return result.attack.note
    return "caught" if result.caught else "NOT CAUGHT"


def _last_line(results: Sequence[Result]) -> str:
    tried = [result for result in results if result.caught is not None and result.attack.codes]
    caught = sum(bool(result.caught) for result in tried)
    unseen = sum(result.caught is not None and not result.attack.codes for result in results)
    return (
        f"{caught} of {len(tried)} attacks were caught;"
        f" {unseen} more that no one could see without a checkpoint kept elsewhere."
    )
