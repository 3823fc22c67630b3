"""Secrets stay out of what is recorded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.runs.redact import MASK, StreamMask, names_a_secret, redact_argv, redact_env

CANARY = "c4n4ry-S3cret-0123456789"


@pytest.mark.parametrize(
    "argv",
    [
        ["--token", CANARY],
        ["--token=" + CANARY],
        ["--api-key=" + CANARY],
        ["--apiKey", CANARY],
        ["--wandb_key", CANARY],
        ["--wandb-api-key", CANARY],
        ["-token", CANARY],
        ["HF_TOKEN=" + CANARY],
        ["KEY=" + CANARY],
        ["+wandb.api_key=" + CANARY],
        ["--auth", "--token", CANARY],
        ["--password", "-" + CANARY],
        ["--config", '{"api_key": "' + CANARY + '", "lr": 1}'],
        ["--config", "{'secret': '" + CANARY + "'}"],
        ["https://user:" + CANARY + "@example.org/x"],
        ["https://example.org/?access_token=" + CANARY + "&x=1"],
        ["-H", "Authorization: Bearer " + CANARY],
        ["sh", "-c", "HF_TOKEN=" + CANARY + " train --lr 1"],
        ["sh", "-c", "train --token " + CANARY],
        ["--token", CANARY, "--note", "again " + CANARY],
        ["--note", "before " + CANARY, "--token", CANARY],
    ],
    ids=lambda argv: argv[0][:12],
)
def test_a_secret_is_masked_in_every_form_it_is_given(argv: list[str]) -> None:
    redacted = redact_argv(argv)
    assert not any(CANARY in argument for argument in redacted.argv)
    assert any(MASK in argument for argument in redacted.argv)
    assert CANARY in {secret.lstrip("-") for secret in redacted.secrets}


@pytest.mark.parametrize(
    "value",
    [
        "hf_abcdefghijklmnopqrstuvwxyz",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "sk-abcdefghijklmnopqrstuvwxyz",
        "AKIAABCDEFGHIJKLMNOP",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    ],
)
def test_a_value_of_a_well_known_form_is_masked_wherever_it_stands(value: str) -> None:
    assert redact_argv(["push", f"x{'='}{value}", value]).argv == ("push", f"x={MASK}", MASK)


@pytest.mark.parametrize(
    "argv",
    [
        ["train.py", "--lr", "0.1", "--max-tokens", "5"],
        ["--tokenizer", "gpt2", "--monkey=1", "--keyboard", "us"],
        ["--author=ada", "x=1", "a key to success", "https://example.org/a?b=c"],
        ["-c", "import sys; sys.exit(3)"],
        [],
    ],
)
def test_what_is_no_secret_is_left_alone(argv: list[str]) -> None:
    assert redact_argv(argv).argv == tuple(argv)
    assert redact_argv(argv).secrets == frozenset()


def test_a_masked_variable_stays_with_its_name() -> None:
    env = {"SLURM_JOB_ID": "7", "SLURM_JWT": CANARY, "VERISCOPE_API_KEY": CANARY, "RANK": "0"}
    captured, secrets = redact_env(env)
    assert captured == {
        "SLURM_JOB_ID": "7",
        "SLURM_JWT": MASK,
        "VERISCOPE_API_KEY": MASK,
        "RANK": "0",
    }
    assert secrets == {CANARY}


def test_a_command_inside_a_variable_is_searched_too() -> None:
    captured, _ = redact_env({"VERISCOPE_RUNNER_CMD": f"train --token {CANARY} --lr 1"})
    assert captured == {"VERISCOPE_RUNNER_CMD": f"train --token {MASK} --lr 1"}


@pytest.mark.parametrize(
    "name", ["LEDGER_KEY", "ledger-passphrase", "X_KEY", "dbPassword", "Cookie"]
)
def test_names_of_secrets(name: str) -> None:
    assert names_a_secret(name)


@given(
    st.lists(st.sampled_from([b"c4n4ry-S3", b"cret-0123456789", b"x", b"\xff\x00\n", b""])),
    st.integers(1, 7),
)
def test_a_secret_is_masked_in_a_stream_however_it_is_cut(parts: list[bytes], size: int) -> None:
    text = b"".join(parts)
    mask = StreamMask([CANARY])
    chunks = [text[i : i + size] for i in range(0, len(text), size)]
    got = b"".join(mask.feed(chunk) for chunk in chunks) + mask.finish()
    assert got == text.replace(CANARY.encode(), MASK.encode())


def test_a_stream_without_secrets_passes_at_once() -> None:
    assert StreamMask([]).feed(b"a\x00b") == b"a\x00b"
    assert StreamMask(["short"]).feed(b"short") == b"short"


@pytest.mark.parametrize("long", ["a" * 300_000, "a=" * 100_000, "--" * 100_000, "a: " * 100_000])
def test_a_very_long_argument_is_searched_in_linear_time(long: str) -> None:
    """Quadratic, the first of them would take minutes."""
    assert redact_argv([long]).argv == (long,)
