"""Projections for the command line: what is made of which events, and where it goes."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from cli.exits import OK, REFUTED
from cli.output import Output, write
from cli.render import columns
from ledger.errors import MisuseError, StoreError
from ledger.ledger import Ledger
from ledger.stores.files import write_durably
from projections import CAPSULE_FILES, PROJECTIONS, make, write_database
from projections import project as fold

DATABASE = "sqlite"
ALL = "all"
CAPSULE = "capsule"
_MAIN = {
    "results": "results.json",
    "summary": "results_summary.json",
    "run_config": "run_config_resolved.json",
    "governance": "governance_log.jsonl",
    "judgement": "manual_judgement.json",
    "calibration": "calibration.csv",
    "report": "report.md",
    "timeline": "timeline.txt",
    "window_signature": "window_signature.json",
}
"""The file that goes to stdout, of a projection that makes several."""


_GOES_ON = frozenset({"governance", "judgement"})
"""Projections that people add to after the run closed: their files are of all events."""


def project(
    path: Path, name: str, *, at: int | None = None, outdir: str | None = None
) -> dict[str, bytes]:
    """Return the files of a projection, bound to *outdir* where a file names its place.

    Raises:
        MisuseError: There is no such projection, or the ledger is shorter than *at*.
    """
    with Ledger.open(path) as book:
        return files_of(book, _named(name), at=at, outdir=outdir)


def files_of(
    book: Ledger, names: list[str], *, at: int | None = None, outdir: str | None = None
) -> dict[str, bytes]:
    """Return the files of several projections, folded in one pass."""
    return fold([make(name, outdir) for name in names], book.entries(), at=at)


def capsule_files(book: Ledger, outdir: Path) -> Mapping[str, bytes]:
    """Return the projected files of a run directory; what ``ledger run`` finishes with."""
    del outdir
    return files_of(book, [*PROJECTIONS])


def place_of(path: Path, outdir: str) -> Path:
    """Return where a capsule of the ledger at *path* may be written a second time.

    Raises:
        MisuseError: It is the capsule itself, whose files are on record as they are.
    """
    place = Path(outdir).absolute()
    own = path if path.is_dir() else path.parent
    if place.resolve() == own.resolve():
        raise MisuseError(f"{outdir} is the capsule itself: choose another directory")
    return place


def deliver_capsule(files: dict[str, bytes], place: Path) -> Output:
    """Write all contract files into *place*.

    Raises:
        MisuseError: It holds one that this capsule does not have.
        StoreError: The disk refused.
    """
    stray = [name for name in CAPSULE_FILES if name not in files and (place / name).exists()]
    if stray:
        raise MisuseError(f"{place / stray[0]} belongs to another run: choose another directory")
    return _into_directory(files, CAPSULE, place)


def deliver(files: dict[str, bytes], name: str, out: str | None) -> Output | int:
    """Write the files of a projection to where they are wanted.

    Raises:
        MisuseError: There are several, and one place.
        StoreError: The disk refused.
    """
    if out is not None and (name in (ALL, CAPSULE) or out.endswith("/") or Path(out).is_dir()):
        return _into_directory(files, name, Path(out))
    content = _one(files, name, out)
    if out is None or out == "-":
        write(content)
        return OK
    write_durably(Path(out), content)
    return _written(name, [Path(out)])


def database(path: Path, out: str | None, at: int | None) -> Output:
    """Write the query database.

    Raises:
        MisuseError: No file was named, or it holds something else.
    """
    if out is None or out == "-":
        raise MisuseError("a database needs a file: --out FILE.db")
    with Ledger.open(path) as book:
        if at is not None and at > book.size:
            raise MisuseError(f"the ledger has {book.size} entries, not {at}")
        root = book.root().hex() if at is None else None
        write_database(islice(book.entries(), at), Path(out), root=root)
    return _written(DATABASE, [Path(out)])


def check(path: Path, name: str) -> Output:
    """Compare the projected files of a run directory with what its events give.

    Raises:
        MisuseError: *path* is no directory, or no event records such a file.
    """
    names = _named(name)
    if not path.is_dir():
        raise MisuseError(f"{path}: --check compares the files of a run directory")
    with Ledger.open(path) as book:
        recorded = _recorded(book, names)
        recorded |= dict.fromkeys(_owed(book, names), book.size)
        made = {at: files_of(book, names, at=at) for at in {*recorded.values()}}
    rows = [(file, _compare(path, file, made[at])) for file, at in sorted(recorded.items())]
    if not rows:
        raise MisuseError(f"no artifact.recorded event names a file of {name}")
    code = OK if all(state == "same" for _, state in rows) else REFUTED
    data = {"files": [{"path": file, "state": state} for file, state in rows]}
    last = "all are what the events give" if code == OK else "not all are what the events give"
    return Output("project-check", data, f"{columns(rows)}\n{last}", code)


def _named(name: str) -> list[str]:
    if name == ALL:
        return [*PROJECTIONS]
    if name == CAPSULE:
        return sorted({*CAPSULE_FILES.values()})
    if name not in PROJECTIONS:
        known = ", ".join([*sorted(PROJECTIONS), ALL, CAPSULE, DATABASE])
        raise MisuseError(f"no projection {name[:80]!r}: there are {known}")
    return [name]


def _owed(book: Ledger, names: list[str]) -> list[str]:
    """Return the files that a judgement makes or changes: on record or not."""
    judged = files_of(book, ["judgement"])
    return [*files_of(book, [name for name in names if name in _GOES_ON])] if judged else []


def _recorded(book: Ledger, names: list[str]) -> dict[str, int]:
    """Return the projected files on record, and the size that each was projected at."""
    found: dict[str, int] = {}
    for entry in book.entries():
        if entry.type == "artifact.recorded":
            data: dict[str, Any] = entry.data
            found.pop(data.get("path", ""), None)
            if data.get("projection") in names and isinstance(data.get("at"), int):
                goes_on = data["projection"] in _GOES_ON
                found[data["path"]] = book.size if goes_on else data["at"]
    return found


def _compare(folder: Path, name: str, made: Mapping[str, bytes]) -> str:
    if name not in made:
        return "not made of these events"
    if not (folder / name).is_file():
        return "missing"
    try:
        return "same" if (folder / name).read_bytes() == made[name] else "DIFFERENT"
    except OSError as error:
        raise StoreError(f"{folder / name}: {error.strerror}") from error


def _into_directory(files: dict[str, bytes], name: str, folder: Path) -> Output:
    try:
        for path in {(folder / file).parent for file in files}:
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}") from error
    for file, content in files.items():
        write_durably(folder / file, content)
    return _written(name, [folder / file for file in sorted(files)])


def _one(files: dict[str, bytes], name: str, out: str | None) -> bytes:
    """Return the file that is meant by a projection's name and the ending of *out*."""
    if not files:
        raise MisuseError(
            f"{name} has no file here: there is no run in this ledger, or none that it is about"
        )
    if len(files) == 1:
        return next(iter(files.values()))
    ending = Path(out).suffix if out else ""
    same_ending = [file for file in files if ending and file.endswith(ending)]
    main = _MAIN.get(name, "")
    if len(same_ending) == 1 and ending != Path(main).suffix:
        return files[same_ending[0]]
    if main not in files:
        raise MisuseError(
            f"{name} makes {len(files)} files ({', '.join(sorted(files)[:3])} …):"
            " give --out DIRECTORY/"
        )
    return files[main]


def _written(name: str, paths: list[Path]) -> Output:
    data = {"name": name, "files": [str(path) for path in paths]}
    return Output("project", data, "\n".join(f"wrote {path}" for path in paths))
