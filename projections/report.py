"""``report.md`` and ``report.txt``: what a run was, how its gate judged it, how to check that.

``report_state`` keeps what a report needs; ``report_page`` and the modules that it
names put it into words. A ledger with several runs has a report for each, and an
overview that names them.
"""

from projections.document import Block, to_markdown, to_text
from projections.protocol import EntryLike
from projections.report_page import overview_page, run_page
from projections.report_state import Report, ReportRun, take
from projections.runs import follow, place

MARKDOWN_NAME = "report.md"
TEXT_NAME = "report.txt"


class ReportProjection:
    """The projection of ``report.md`` and ``report.txt``.

    *outdir* is the place that the governance log beside it is bound to, if it is
    not the recorded one.
    """

    name = "report"
    version = 2
    state_type = Report

    def __init__(self, outdir: str | None = None) -> None:
        """Tell of the log that is bound to the recorded place of the run, or to *outdir*."""
        self._outdir = outdir

    def initial(self) -> Report:
        """Return a state without runs."""
        return Report()

    def apply(self, state: Report, entry: EntryLike) -> Report:
        """Add an event to the report of its run; every entry moves the head."""
        state.stand_at(entry)
        followed = follow(state, entry, ReportRun)
        if followed is not None:
            run, payload = followed
            take(run, entry, payload)
        return state

    def render(self, state: Report) -> dict[str, bytes]:
        """Return a report for each run, and an overview unless there is exactly one."""
        files = place(state, lambda run: _both(run_page(state, run, outdir=self._outdir)))
        if len(state.runs) != 1:
            files.update(_both(overview_page(state)))
        return files


def _both(blocks: list[Block]) -> dict[str, bytes]:
    return {MARKDOWN_NAME: to_markdown(blocks), TEXT_NAME: to_text(blocks)}
