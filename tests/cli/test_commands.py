"""What holds for every command: it is in the table, has help and ``--json``, and starts fast."""

import subprocess
import tomllib
from collections.abc import Iterator

import click
import pytest
from cli_shell import ROOT, Command, command_line, environment, shell

from cli import VERSION, exits, table
from cli.main import cli

HEAVY = ("rich", "pydantic", "sqlite_utils", "projections", "producers", "verifier", "torch")


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name in table.COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", item) for sub, item in command.commands.items())
        else:
            yield name, command


ALL = dict(commands())


def test_the_table_names_exactly_the_modules_there_are() -> None:
    found = {path.stem for path in (ROOT / "cli" / "commands").glob("*.py")} - {"__init__"}
    assert found == {table.module_of(name).rsplit(".", 1)[1] for name in table.COMMANDS}


@pytest.mark.parametrize("name", ALL)
def test_every_command_has_json_and_help(name: str) -> None:
    command = ALL[name]
    assert command.help
    assert any("--json" in option.opts for option in command.params)
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{name} {option.opts}"


@pytest.mark.parametrize("name", table.COMMANDS)
def test_the_short_help_is_the_one_of_the_table(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.short_help == table.COMMANDS[name]


@pytest.mark.parametrize("name", ALL)
def test_help_is_printed_and_exits_0(name: str, call: Command) -> None:
    done = call(*name.split(), "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: ledger {name} ")


def test_the_list_of_commands_needs_none_of_them(call: Command) -> None:
    done = call("--help")
    for name, text in table.COMMANDS.items():
        assert f"  {name} " in done.out
        assert text in done.out


def test_the_version_is_that_of_the_distribution(call: Command) -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["version"]
    assert declared == VERSION
    assert call("--version").out == f"ledger {declared}\n"


def test_every_exit_code_has_a_meaning() -> None:
    codes = {value for name, value in vars(exits).items() if name.isupper() and name != "MEANINGS"}
    assert codes == set(exits.MEANINGS)


def imported(*args: str) -> set[str]:
    """Run a command and return the top-level modules that it had imported at its end."""
    script = (
        "import sys; from cli.main import run; run(sys.argv[1:]);"
        " print(*sys.modules, file=sys.stderr)"
    )
    line = [command_line()[0], "-c", script, *args]
    done = subprocess.run(line, capture_output=True, env=environment(), check=True)
    return set(done.stderr.decode().split())


def test_help_imports_no_command_and_no_ledger() -> None:
    found = imported("--help")
    assert not [name for name in found if name.startswith(("ledger", "cli.commands"))]
    assert not found.intersection([*HEAVY, "msgspec", "cryptography", "sqlite3", "json"])


def test_an_append_imports_only_what_it_uses(book: object) -> None:
    found = imported("append", str(book), "--type", "x.a", "--data", '{"a":[1]}')
    assert not found.intersection([*HEAVY, "msgspec", "cryptography.hazmat.primitives.ciphers"])


def test_the_module_is_the_same_command() -> None:
    assert shell("--version").out == f"ledger {VERSION}\n"
