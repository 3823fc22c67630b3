"""Reads the pages of the documentation, and runs what they say in a shell of its own.

What a page may hold, all at the left margin:

* a ``console`` block: lines that begin ``$ `` are commands (``> `` goes on with one), run in the
  order of the page in one bash. Lines under a command are its output, compared; ``…`` stands for
  anything in a line, alone for any lines, and no lines at all for any output. A command must end
  in 0, unless the next one is ``echo $?``, whose output is then compared;
* a ``python`` block: a program of its own, which must end in 0;
* ``<!-- file: NAME -->`` before a block of any kind: the block is written to that file;
* ``<!-- skip: REASON -->`` before a block: it is not run.

``python tests/docs/docpages.py PAGE …`` runs pages and writes the outputs anew that hold no ``…``.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = "/home/you"
_MARK = "\x1e"
_FENCE = re.compile(r"(?ms)^(?:<!-- (file|skip): ([^\n]+?) -->\n)?```(\w+)\n(.*?)^```$")
_VOLATILE = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"SHA256:[A-Za-z0-9+/]{43}"), "<fingerprint>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<hash>"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "<run>"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "<prefix>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"(?<![A-Za-z0-9+/<])[A-Za-z0-9+/]{43,}={0,2}"), "<base64>"),
    (re.compile(r"\b\d+\.\d s\b"), "<seconds>"),
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: where it begins, what it is, and what is to be done with it."""

    line: int
    language: str
    text: str
    marker: str
    value: str


@dataclass(frozen=True, slots=True)
class Step:
    """Something to run; *shown* is the output on the page, if there is any."""

    line: int
    command: str
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """A step after it was run."""

    step: Step
    code: int
    output: str


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start(3)) + 1
        yield Block(line, match[3], match[4], match[1] or "", match[2] or "")


def steps(text: str) -> list[Step]:
    """Return what a page asks its reader to run, in order."""
    found: list[Step] = []
    for block in blocks(text):
        if block.marker == "skip":
            continue
        if block.marker == "file":
            found.append(Step(block.line, _heredoc(f"cat > {block.value}", block.text)))
        elif block.language == "python":
            found.append(Step(block.line, _heredoc("python -", block.text)))
        elif block.language == "console":
            found += _console(block)
    return found


def run(page: list[Step], folder: Path) -> list[Done]:
    """Run the steps in *folder*, as a user who has nothing yet, and return what they did."""
    home, bin_, work = folder / "home", folder / "bin", folder / "home" / "work"
    for each in (home, bin_, work):
        each.mkdir()
    script = folder / "page.sh"
    script.write_text("".join(_guarded(step) for step in page), encoding="utf-8")
    done = subprocess.run(
        ["bash", str(script)],
        cwd=work,
        env=_environment(home, bin_),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
        check=False,
    )
    said = done.stdout.decode("utf-8", "replace").replace(str(home), HOME)
    parts = said.split(_MARK)[1:]
    if len(parts) != 2 * len(page):
        raise AssertionError(f"the shell stopped early: {said[-2000:]}")
    return [
        Done(step, int(code), output)
        for step, output, code in zip(page, parts[::2], parts[1::2], strict=True)
    ]


def faults(page: list[Done]) -> Iterator[str]:
    """Yield what is not as the page says."""
    for done, following in zip(page, [*page[1:], None], strict=True):
        told = following is not None and following.step.command == "echo $?"
        if done.code != 0 and not told:
            yield _report(done, f"ended in {done.code}, and the page does not say so")
        elif done.step.shown and not _matches(done.step.shown, done.output):
            yield _report(done, "did not print what the page shows")


def normalised(text: str) -> str:
    """Return *text* with hashes, ids, times and durations replaced by what they are."""
    for pattern, name in _VOLATILE:
        text = pattern.sub(name, text)
    return "\n".join(line.rstrip() for line in text.rstrip().split("\n"))


def refreshed(text: str, page: list[Done]) -> str:
    """Return a page with the outputs that hold no ``…`` replaced by those of a run."""
    lines = text.split("\n")
    for done in reversed(page):
        shown = done.step.shown
        if shown and not any("…" in line for line in shown):
            at = done.step.line - 1 + len(done.step.command.split("\n"))
            lines[at : at + len(shown)] = done.output.rstrip().split("\n")
    return "\n".join(lines)


def _console(block: Block) -> Iterator[Step]:
    step: Step | None = None
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            if step is not None:
                yield step
            step = Step(number, line[2:])
        elif step is None:
            raise AssertionError(f"line {number}: output before the first command")
        elif line.startswith("> ") and not step.shown:
            step = replace(step, command=f"{step.command}\n{line[2:]}")
        else:
            step = replace(step, shown=(*step.shown, line))
    if step is not None:
        yield step


def _matches(shown: tuple[str, ...], output: str) -> bool:
    pattern = ""
    for line in normalised("\n".join(shown)).split("\n"):
        if line == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("…")) + r"\n"
    return re.fullmatch(pattern, normalised(output) + "\n") is not None


def _report(done: Done, what: str) -> str:
    shown = "\n".join(done.step.shown)
    return (
        f"line {done.step.line}: {what}\n  $ {done.step.command}\n"
        f"--- page\n{normalised(shown)}\n--- run\n{normalised(done.output)}\n"
    )


def _heredoc(command: str, text: str) -> str:
    return f"{command} <<'END_OF_BLOCK'\n{text}END_OF_BLOCK"


def _guarded(step: Step) -> str:
    """Return the script of one step: ``$?`` is that of the step before, as in a terminal."""
    begin, end = f"printf '{_MARK}'", f"printf '{_MARK}%s' \"$code\""
    return f"{begin}\n(exit ${{code:-0}})\n{step.command}\ncode=$?\n{end}\n"


def _environment(home: Path, bin_: Path) -> dict[str, str]:
    """Return an environment without anything of the user who runs the tests."""
    programs = {
        "ledger": "-c 'from cli.main import main; main()'",
        "python": "",
        "sqlite-utils": "-m sqlite_utils",
    }
    for name, arguments in programs.items():
        program = bin_ / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {
        **kept,
        "HOME": str(home),
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "COLUMNS": "80",
    }


if __name__ == "__main__":
    for name in sys.argv[1:]:
        place = Path(name)
        source = place.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as scratch:
            result = run(steps(source), Path(scratch))
        fresh = refreshed(source, result)
        place.write_text(fresh, encoding="utf-8")
        again = zip(result, steps(fresh), strict=True)
        sys.stdout.write("".join(faults([replace(done, step=step) for done, step in again])))
