"""Secrets stay out of what is recorded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.runs.redact import (
    MASK,
    known_secrets,
    mask_data,
    names_a_secret,
    redact_argv,
    redact_env,
)
from producers.runs.streammask import StreamMask

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
        ["-p", CANARY],
        ["-u", "ada:" + CANARY],
        ["--config", '{"auth": {"hf": ["' + CANARY + '"]}, "lr": 1}'],
        ['--config={"credentials": {"a": "' + CANARY + '"}}'],
        ["https://" + CANARY + "@example.org/x.git"],
        ["HFTOKEN=" + CANARY],
        ["PGPASSWORD=" + CANARY],
        ["https://x.blob.example.org/d?sv=1&sig=" + CANARY],
        ["-H", "Authorization: Basic " + CANARY.replace("-", "")],
    ],
    ids=lambda argv: argv[0][:12],
)
def test_a_secret_is_masked_in_every_form_it_is_given(argv: list[str]) -> None:
    redacted = redact_argv(argv)
    assert not any(CANARY in argument for argument in redacted.argv)
    assert any(MASK in argument for argument in redacted.argv)
    assert {CANARY, CANARY.replace("-", "")} & {s.lstrip("-") for s in redacted.secrets}


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
        ["-p", "8080", "-u", "ada", "--pad-token", "[PAD]xyzxyz", "PWD=/home/ada/work"],
        ["--config", '{"lr": 1,  "tokens": "abcdefghijkl"}', "[1, 2]", "{not json"],
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
    "name",
    ["LEDGER_KEY", "ledger-passphrase", "X_KEY", "dbPassword", "Cookie", "MYSQL_PWD", "GHTOKEN"],
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


def test_a_line_without_secrets_passes_as_it_is() -> None:
    assert StreamMask([]).feed(b"a\x00b\xff\nc") == b"a\x00b\xff\n"
    assert StreamMask(["short"]).feed(b"short\r") == b"short\r"


def test_a_line_that_does_not_end_is_not_held_for_ever() -> None:
    mask = StreamMask([CANARY])
    text = (b"." * 50_000 + CANARY.encode()) * 3
    got = mask.feed(text)
    assert len(got) > 65_536
    assert got + mask.finish() == text.replace(CANARY.encode(), MASK.encode())


@pytest.mark.parametrize(
    "line",
    [
        f"login with token={CANARY}",
        f'{{"api_key": "{CANARY}"}}',
        f"Authorization: Bearer {CANARY}",
        f"cloning https://ada:{CANARY}@example.org/x",
        f"cloning https://{CANARY}@example.org/x",
        "using hf_abcdefghijklmnopqrstuvwxyz",
        f"PASSWORD: '{CANARY}'",
    ],
)
def test_what_a_line_of_output_itself_calls_a_secret_is_masked(line: str) -> None:
    mask = StreamMask([])
    got = (mask.feed(line.encode()) + mask.feed(b"\n") + mask.finish()).decode()
    assert MASK in got
    assert CANARY not in got
    assert "hf_abc" not in got


@pytest.mark.parametrize(
    "line",
    [
        "KeyError: 'input_ids'",
        "tokens: 123456789  key: value",
        "iter 100 token: 12345678.5",
        "pad_token: <|endoftext|>",
        "session: abcdefghijkl",
        "https://example.org:8080/a@b",
        "\xe9t\xe9 = \u2713",
    ],
)
def test_ordinary_output_is_left_alone(line: str) -> None:
    mask = StreamMask([])
    assert mask.feed(line.encode() + b"\n") + mask.finish() == line.encode() + b"\n"


def test_a_secret_of_several_lines_is_masked_line_by_line() -> None:
    mask = StreamMask([f"first-{CANARY}\nsecond-{CANARY}"])
    assert mask.feed(f"x second-{CANARY}\n".encode()) == f"x {MASK}\n".encode()


def test_a_secret_is_masked_in_the_form_that_it_has_in_a_url() -> None:
    argv = redact_argv(["--token", "a/b c+d/é12", "see https://x/?q=a%2Fb%20c%2Bd%2F%C3%A912"]).argv
    assert argv == ("--token", MASK, f"see https://x/?q={MASK}")


def test_all_texts_of_a_json_value_are_masked() -> None:
    value = {"data": {"name": f"/x/{CANARY}", CANARY: [1, None, CANARY]}, "n": 1.5}
    shown = mask_data(value, [CANARY])
    assert shown == {"data": {"name": f"/x/{MASK}", MASK: [1, None, MASK]}, "n": 1.5}


def test_what_a_whole_environment_gives_away_is_known() -> None:
    env = {
        "AWS_SECRET_ACCESS_KEY": "aws-" + CANARY,
        "DATABASE_URL": f"postgres://u:db-{CANARY}@h/x",
        "EXTRA": f"--token extra-{CANARY}",
        "HOME": "/home/ada",
    }
    assert known_secrets(["train"], env) == {f"{x}-{CANARY}" for x in ("aws", "db", "extra")}


@pytest.mark.parametrize("long", ["a" * 300_000, "a=" * 100_000, "--" * 100_000, "a: " * 100_000])
def test_a_very_long_argument_is_searched_in_linear_time(long: str) -> None:
    """Quadratic, the first of them would take minutes."""
    assert redact_argv([long]).argv == (long,)
