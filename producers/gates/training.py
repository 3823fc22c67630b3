"""Train a small GPT, deterministically, under the gate.

torch and transformers are imported when the training starts. What is measured
comes from the training step's own forward pass: its loss, and the spectrum of
the covariance of its last hidden states. There is no second forward pass.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ledger import MisuseError
from producers.gates.corpus import Corpus
from producers.gates.corruption import KIND, Corruption
from producers.gates.decide import Check
from producers.gates.gate import Gate
from producers.gates.plan import DEMO, Plan

VOCABULARY = 256  # bytes
TOP_K = 2  # var_out_k leaves out the two largest eigenvalues
_HEAD_WIDTH = 32
_WARMUP_STEPS = 20
_FLOOR = 0.1  # the learning rate ends at a tenth of its peak
_CLIP = 1.0
_FAULT_STREAM = 1_000_003  # a corrupted run draws the same batches as its control


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a demo run is made of; the defaults are what the gate's defaults were measured with."""

    max_iters: int = 360
    seed: int = 1
    layers: int = 2
    width: int = 64
    batch: int = 16
    block: int = 64
    lr: float = 2e-3
    threads: int = 1
    corrupt: Corruption | None = None
    gate: Plan = DEMO

    def __post_init__(self) -> None:
        """Refuse a model that cannot be built.

        Raises:
            MisuseError: A size is out of its range.
        """
        sizes = (self.max_iters, self.layers, self.batch, self.block, self.threads)
        if min(sizes) < 1 or self.seed < 0 or not self.lr > 0:
            raise MisuseError("every size must be at least 1, the seed 0, and lr above 0")
        if self.width <= TOP_K or (self.width > _HEAD_WIDTH and self.width % _HEAD_WIDTH):
            raise MisuseError(f"width must be 3 to {_HEAD_WIDTH}, or a multiple of {_HEAD_WIDTH}")

    @property
    def heads(self) -> int:
        """Attention heads of 32, or one if the model is narrower."""
        return max(1, self.width // _HEAD_WIDTH)

    def as_data(self, corpus: Corpus) -> dict[str, Any]:
        """Return the payload of ``run.planned``."""
        model: dict[str, int | float | str | bool] = {
            "architecture": "gpt2",
            "vocabulary": VOCABULARY,
            "layers": self.layers,
            "width": self.width,
            "heads": self.heads,
            "block": self.block,
            "batch": self.batch,
            "optimizer": "adamw",
            "lr": self.lr,
            "lr_schedule": f"cosine to {_FLOOR}",
            "lr_warmup": _WARMUP_STEPS,
            "clip": _CLIP,
            "threads": self.threads,
            "var_out_k": TOP_K,
        }
        if self.corrupt is not None:
            model["corrupt"] = str(self.corrupt)
        return {
            "gate": self.gate.as_data(),
            "max_iters": self.max_iters,
            "seed": self.seed,
            "model": model,
            "data": corpus.as_data(),
        }

    def rate(self, iteration: int) -> float:
        """Return the learning rate of an iteration: a short rise, then a cosine."""
        rise = min(1.0, (iteration + 1) / _WARMUP_STEPS)
        fall = (1 + math.cos(math.pi * iteration / self.max_iters)) / 2
        return self.lr * rise * (_FLOOR + (1 - _FLOOR) * fall)


class Story(Protocol):
    """Where a run's events go; ``producers.runs.Session`` is one."""

    def plan(self, data: Mapping[str, Any]) -> None:
        """Record what the run commits to."""

    def observe(self, iteration: int, values: Mapping[str, float]) -> None:
        """Record one iteration's metrics."""

    def check(self, data: Mapping[str, Any]) -> None:
        """Record a gate check; it must be durable on return."""

    def inject(self, iteration: int, kind: str, *, fraction: float) -> None:
        """Record that a fault begins."""

    def finish(self, iters: int, final_loss: float | None) -> None:
        """Record the end."""


class Watcher(Protocol):
    """Who looks on while a run goes; the command prints a line."""

    def __call__(self, check: Check, values: Mapping[str, float]) -> None:
        """See a check, which is on record, and the metrics of its last iteration."""


def train(settings: Settings, corpus: Corpus, story: Story, *, watch: Watcher) -> None:
    """Train to the end of *settings*, telling *story*.

    Raises:
        MisuseError: The corpus is too short for one block.
        LedgerError: The story could not be recorded.
    """
    trainer = _Trainer(settings, corpus)
    gate = Gate(settings.gate)
    story.plan(settings.as_data(corpus))
    values: Mapping[str, float] = {}
    for iteration in range(settings.max_iters):
        fault = settings.corrupt
        if fault is not None and iteration == fault.start:
            story.inject(iteration, KIND, fraction=fault.fraction)
        values = trainer.step(iteration)
        story.observe(iteration, values)
        check = gate.observe(iteration, values)
        if check is not None:
            story.check(check.as_data())
            watch(check, values)
    story.finish(settings.max_iters, values["loss"])


class _Trainer:
    """Model, optimizer and data; the torch half."""

    def __init__(self, settings: Settings, corpus: Corpus) -> None:
        import torch
        from transformers import GPT2Config, GPT2LMHeadModel

        if len(corpus.content) <= settings.block:
            raise MisuseError(
                f"{corpus.name} has {len(corpus.content)} bytes: too few for block {settings.block}"
            )
        torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(mode=True)
        torch.manual_seed(settings.seed)
        config = GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=settings.block,
            n_embd=settings.width,
            n_layer=settings.layers,
            n_head=settings.heads,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            bos_token_id=0,
            eos_token_id=0,
        )
        self._torch = torch
        self._settings = settings
        self._model = GPT2LMHeadModel(config).train()
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(), lr=settings.lr, betas=(0.9, 0.95)
        )
        self._data = torch.frombuffer(bytearray(corpus.content), dtype=torch.uint8).long()
        self._batches = torch.Generator().manual_seed(settings.seed)
        self._faults = torch.Generator().manual_seed(settings.seed + _FAULT_STREAM)

    def step(self, iteration: int) -> dict[str, float]:
        """Take one optimizer step; return what its forward pass showed."""
        torch = self._torch
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.rate(iteration)
        tokens, targets = self._batch(iteration)
        output = self._model(input_ids=tokens, output_hidden_states=True)
        logits = output.logits.view(-1, VOCABULARY)
        loss = torch.nn.functional.cross_entropy(logits, targets.reshape(-1))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), _CLIP)
        self._optimizer.step()
        hidden = output.hidden_states[-1].detach()
        return {"loss": float(loss.detach()), **self._spectrum(hidden)}

    def _batch(self, iteration: int) -> tuple[Any, Any]:
        torch, settings = self._torch, self._settings
        places = len(self._data) - settings.block
        starts = torch.randint(places, (settings.batch, 1), generator=self._batches)
        window = self._data[starts + torch.arange(settings.block + 1)]
        tokens, targets = window[:, :-1], window[:, 1:]
        fault = settings.corrupt
        if fault is not None and fault.covers(iteration):
            noise = torch.randint(VOCABULARY, tokens.shape, generator=self._faults)
            chosen = torch.rand(tokens.shape, generator=self._faults) < fault.fraction
            tokens = torch.where(chosen, noise, tokens)
        return tokens, targets

    def _spectrum(self, hidden: Any) -> dict[str, float]:
        """Return what the eigenvalues of the hidden states' covariance say.

        ``var_out_k`` is the share of the variance outside the k largest,
        ``eff_dim`` the participation ratio: (sum)^2 / (sum of squares).
        """
        torch = self._torch
        flat = hidden.reshape(-1, hidden.shape[-1]).double()
        centred = flat - flat.mean(0)
        covariance = centred.T @ centred / max(len(flat) - 1, 1)
        if not torch.isfinite(covariance).all():  # eigvalsh would raise; the gate must see it
            return {"eff_dim": math.nan, "var_out_k": math.nan}
        values = torch.linalg.eigvalsh(covariance).clamp_min(0)
        total = values.sum()
        return {
            "eff_dim": float(total * total / values.square().sum()),
            "var_out_k": float(1 - values[-TOP_K:].sum() / total),
        }
