"""The rows of the table, in its order; each module says what its limit means."""

from benchmarks.bench import Row
from benchmarks.rows import (
    batch_append,
    growth,
    peer,
    recording,
    single_append,
    start_up,
    verify,
)

ROWS: dict[str, Row] = {
    "single": single_append.run,
    "batch": batch_append.run_sqlite,
    "jsonl": batch_append.run_jsonl,
    "verify": verify.run_batched,
    "signed": verify.run_signed,
    "memory": verify.run_memory,
    "start-up": start_up.run,
    "recording": recording.run,
    "peer": peer.run,
    "growth": growth.run,
}
