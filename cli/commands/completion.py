"""``ledger completion``."""

import click
from click.shell_completion import get_completion_class

from cli.command import make_command
from cli.output import Output


@make_command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> Output:
    """Print a script that completes `ledger` commands in SHELL.

    For bash: ledger completion bash > ~/.local/share/bash-completion/completions/ledger
    """
    found = get_completion_class(shell)
    if found is None:
        raise AssertionError("click knows these three")
    root = click.get_current_context().find_root().command
    script = found(root, {}, "ledger", "_LEDGER_COMPLETE").source()
    return Output("completion", {"shell": shell, "script": script}, script)
