"""``ledger validate``."""

from pathlib import Path
from typing import Unpack

from cli.capsules import loading
from cli.capsules.options import Strictness, as_options, directory, strictness
from cli.command import make_command
from cli.output import Output


@make_command("validate")
@directory
@strictness
def command(path: Path, **options: Unpack[Strictness]) -> Output | int:
    """Validate the files of the capsule in DIR against the public run contract, version 1.

    Capsules of any tool are taken. If a ledger lies beside the files, it is verified too, and a
    refuted one makes the capsule invalid. Exit codes: 0 valid, 2 invalid. Nothing is written.
    """
    loaded = loading.load(path, as_options(options, allow_partial=False))
    loading.talk(loaded)
    return loading.judge(loaded, name="validate")
