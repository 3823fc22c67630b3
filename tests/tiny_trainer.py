"""A real, tiny ``Trainer`` for the tests of the callback: two blocks, sixteen units wide."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from ledger import Key
from producers import LedgerCallback
from producers.gates import preset

SEED = 3
BLOCK = 8
OWNER = Key.from_seed(bytes(range(32)), name="owner")
PLAN = preset("short_v0", {"warmup": 10, "window": 10, "level_from": 0})


def tiny_model(**options: Any) -> Any:
    torch.set_num_threads(1)
    set_seed(SEED)
    config = GPT2Config(
        vocab_size=32,
        n_positions=BLOCK,
        n_embd=16,
        n_layer=2,
        n_head=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
        **options,
    )
    model = GPT2LMHeadModel(config)
    model.loss_type = "ForCausalLM"
    return model


def rows(count: int = 64) -> list[dict[str, Any]]:
    draw = torch.Generator().manual_seed(SEED)
    ids = torch.randint(32, (count, BLOCK), generator=draw)
    return [{"input_ids": row, "labels": row} for row in ids]


def tiny_trainer(
    outdir: Path,
    *callbacks: TrainerCallback,
    model: Any = None,
    steps: int = 20,
    rows_: list[dict[str, Any]] | None = None,
    **options: Any,
) -> Any:
    """Return a Trainer of *steps* steps whose checkpoints go into *outdir*."""
    chosen = {
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-3,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "seed": SEED,
    }
    trainer = Trainer(
        model=tiny_model() if model is None else model,
        args=TrainingArguments(output_dir=str(outdir), max_steps=steps, **(chosen | options)),
        train_dataset=rows() if rows_ is None else rows_,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class Hang(TrainerCallback):  # type: ignore[misc]  # transformers is not type-checked
    """Says where the training is, and stands still there."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        del args, control, others
        if state.global_step == self._step:
            print("hanging", flush=True)
            time.sleep(60)


def main() -> None:
    """Train in OUTDIR, and hang after STEP steps; with 0, go on and tell the losses."""
    outdir, step = sys.argv[1:]
    callback = LedgerCallback(outdir, preset=PLAN, key=OWNER, stop_on="fail")
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 15}
    if step == "0":
        options |= {"logging_strategy": "steps", "logging_steps": 1}
    trainer = tiny_trainer(Path(outdir), callback, Hang(int(step)), steps=40, **options)
    trainer.train()
    if step == "0" and trainer.args.process_index == 0:
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
        print(json.dumps(losses), flush=True)


if __name__ == "__main__":
    main()
