"""``ledger observe``."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from cli import observing
from cli.command import key_option, make_command, wants_json
from cli.output import Output, say

_PATH = click.Path(path_type=Path)


class Options(TypedDict):
    """The options of ``ledger observe``."""

    outdir: Path | None
    gate_preset: str | None
    max_iters: int
    seed: int
    data: Path | None
    jsonl: bool
    fail_on: str | None
    key_file: Path | None


@make_command("observe")
@click.option("--outdir", type=_PATH, metavar="DIR", help="Where to record, without ledger run.")
@click.option("--gate-preset", metavar="NAME", help="Of the gate  [default: tuned_v0]")
@click.option(
    "--max-iters", type=click.IntRange(0), default=0, metavar="N", help="As planned; 0: not known."
)
@click.option("--seed", type=click.IntRange(0), default=0, metavar="N", help="The loop's own.")
@click.option("--data", type=_PATH, metavar="FILE", help="What it trains on: its digest is kept.")
@click.option("--jsonl", is_flag=True, help="Print each check as a line of JSON.")
@click.option("--fail-on", type=click.Choice(["warn", "fail"]), help="Exit 1 if the gate did so.")
@key_option
def command(**options: Unpack[Options]) -> Output | int:
    """Record a training loop in any language, which tells its metrics on standard input.

    A line is {"iter":0,"values":{"loss":2.3,…}} or, for a change that is no fault,
    {"anchor":500,"reason":"…"}. The gate is checked at the end of each of its windows, and a
    check is printed when it is on record. Inside `ledger run NAME -- sh -c 'loop | ledger
    observe'` it records into that run; else it is a run of its own.
    """
    wanted = observing.Wanted(
        outdir=options["outdir"],
        preset=options["gate_preset"],
        max_iters=options["max_iters"],
        seed=options["seed"],
        data=options["data"],
        fail_on=options["fail_on"],
        key_file=options["key_file"],
    )
    show = observing.as_json if options["jsonl"] else observing.as_line
    if wants_json():
        show = observing.silently
    answer = observing.observe(wanted, observing.stdin_descriptor(), show)
    if options["jsonl"] and not wants_json():  # standard output is checks alone
        say(answer.text)
        return answer.exit_code
    return answer
