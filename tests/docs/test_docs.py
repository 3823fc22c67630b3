"""The documentation cannot drift: what it says to run is run, and what it names exists."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from docpages import ROOT, blocks, faults, run, steps

from cli import table
from cli.main import cli

DOCS = ROOT / "docs"
TOLD = [ROOT / "README.md", *sorted((DOCS / "tutorial").glob("*.md"))]
TOLD += sorted((DOCS / "how-to").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command by what one types, ``ledger key new`` among them."""
    for name in table.COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        yield f"ledger {name}", command
        if isinstance(command, click.Group):
            yield from (
                (f"ledger {name} {inner}", each) for inner, each in command.commands.items()
            )


def without_fences(text: str) -> str:
    return re.sub(r"(?ms)^```.*?^```$", "", text)


@pytest.mark.parametrize("page", TOLD, ids=name_of)
def test_what_the_page_says_to_run_does_what_the_page_says(page: Path, tmp_path: Path) -> None:
    told = steps(page.read_text(encoding="utf-8"))
    assert told, "a page that tells how to do something shows it"
    wrong = list(faults(run(told, tmp_path)))
    assert not wrong, "\n".join([name_of(page), *wrong])


@pytest.mark.parametrize(
    "page",
    [
        "```console\n$ false\n```",
        "```console\n$ false\n$ echo $?\n0\n```",
        "```console\n$ printf 'one\\ntwo\\n'\none\n```",
        "```console\n$ echo 1 error\n2 errors\n```",
        "```python\nassert 1 == 2\n```",
    ],
)
def test_a_page_that_says_something_else_is_noticed(page: str, tmp_path: Path) -> None:
    assert list(faults(run(steps(page), tmp_path)))


def test_an_ellipsis_stands_for_any_output_and_a_hash_for_any_hash(tmp_path: Path) -> None:
    digest = "0" * 64
    page = f"```console\n$ printf 'a b\\nc\\nd\\n'; echo x | sha256sum\na …\n…\n{digest}  -\n```"
    assert not list(faults(run(steps(page), tmp_path)))


def test_a_block_is_left_out_only_for_a_reason() -> None:
    for page in TOLD:
        for block in blocks(page.read_text(encoding="utf-8")):
            assert block.marker != "skip" or len(block.value.split()) > 2, name_of(page)


def test_the_generated_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_command_is_in_the_reference_and_used_on_a_page() -> None:
    reference = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    told = "\n".join(page.read_text(encoding="utf-8") for page in TOLD)
    for name, command in commands():
        assert f"\n### {name}\n" in reference
        if not isinstance(command, click.Group):
            assert re.search(rf"\b{name}\b", told), f"no page shows how {name} is used"


def test_every_command_and_option_that_a_page_names_exists() -> None:
    known = {name: _options(command) for name, command in commands()}
    known["ledger"] = {"--version"}
    for page in PAGES:
        for line in _command_lines(page.read_text(encoding="utf-8")):
            words = line.split(" -- ")[0].split()
            name = next(
                (found for n in (3, 2, 1) if (found := " ".join(words[:n])) in known), words[0]
            )
            assert name != "ledger" or len(words) == 1 or words[1].startswith("-"), line
            options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(words)))
            assert options <= known[name] | {"--help", "--json"}, f"{name_of(page)}: {line}"


def _options(command: click.Command) -> set[str]:
    return {option for param in command.params for option in (*param.opts, *param.secondary_opts)}


def _command_lines(text: str) -> Iterator[str]:
    """What a page says to type, where it says so: a command line in a block or in the text."""
    for block in blocks(text):
        if block.language in ("console", "yaml", "bash"):
            begin = r"\$ " if block.language == "console" else r" *(?:- )?(?:run: )?"
            lines = block.text.replace("\\\n", " ").splitlines()
            found = (re.match(rf"{begin}(ledger [a-z-].*)", line) for line in lines)
            yield from (re.split(r"[|;#<>]", match[1])[0] for match in found if match)
    yield from re.findall(r"(?m)^    (ledger [a-z-].*)$", without_fences(text))
    yield from re.findall(r"`(ledger [a-z-][^`\n]*)`", without_fences(text))


def test_every_link_between_pages_leads_somewhere() -> None:
    anchors = {page: set(_anchors(page)) for page in PAGES}
    for page in PAGES:
        text = without_fences(page.read_text(encoding="utf-8"))
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{name_of(page)}: {link}"
            assert not anchor or anchor in anchors[target], f"{name_of(page)}: {link}"


def _anchors(page: Path) -> Iterator[str]:
    text = without_fences(page.read_text(encoding="utf-8"))
    for heading in re.findall(r"(?m)^#+ (.+)$", text):
        plain = re.sub(r"[^\w\- ]", "", heading.lower())
        yield plain.replace(" ", "-")


def test_no_page_names_a_path_of_somebodys_machine() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        paths = re.findall(r"(?<![\w.:/~>*\"])/[\w.-]+(?:/[\w.-]+)+", text)
        assert [path for path in paths if not path.startswith("/home/you/")] == [], name_of(page)


def test_the_two_commands_stand_in_the_first_thirty_lines_of_the_front_page() -> None:
    first = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:30]
    targets = re.findall(r"(?m)^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
    for target in ("demo", "test"):
        assert any(line.startswith(f"make {target} ") for line in first)
        assert target in targets
