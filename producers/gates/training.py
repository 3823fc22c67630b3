"""Train a small GPT, deterministically, under the gate.

torch and transformers are imported when the training starts. What is measured
comes from the training step itself: its loss, the hidden states of its forward
pass, and how far a parameter moved. There is no second forward pass.
"""

import copy
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

from ledger import MisuseError
from producers.gates.check import Check
from producers.gates.corpus import Corpus
from producers.gates.corruption import Corruption
from producers.gates.distributed import Group
from producers.gates.gate import AnyPlan
from producers.gates.measure import SPECTRUM, SPECTRUM_TOP_K, Meter, Updates, spectrum
from producers.gates.plan import DEMO
from producers.gates.recording import GatedRun

VOCABULARY = 256  # bytes
Schedule = Literal["cosine", "linear", "constant"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
"""After a rise of 20 steps: a cosine to a tenth, a line to nothing, or no change."""

_HEAD_WIDTH = 32
_NARROWEST = 3  # var_out_k leaves out two directions
_WARMUP_STEPS = 20
_FLOOR = 0.1  # the cosine ends at a tenth of the peak
_CLIP = 1.0
_FAULT_STREAM = 1_000_003  # a corrupted run draws the same batches as its control
_RANK_STREAM = 1_000_033  # the ranks of one run draw different batches
_MASK = 0  # the byte that masked positions become


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run is made of; the defaults are what the demo gate's defaults were measured with.

    ``block`` is the length of a sequence, in bytes; the gate's blocks are another thing.
    ``overrides`` are the controls in which ``gate`` departs from its preset.
    """

    max_iters: int = 360
    seed: int = 1
    layers: int = 2
    width: int = 64
    batch: int = 16
    block: int = 64
    lr: float = 2e-3
    schedule: Schedule = "cosine"
    dropout: float = 0.0
    threads: int = 1
    corrupt: Corruption | None = None
    gate: AnyPlan = DEMO
    overrides: Mapping[str, int | float | str | bool | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a model that cannot be built, and a fault that would change nothing.

        Raises:
            MisuseError: A size is out of its range, or the fault's dose too small.
        """
        sizes = (self.max_iters, self.layers, self.batch, self.block, self.threads)
        if min(sizes) < 1 or self.seed < 0 or not 0 < self.lr < math.inf:
            raise MisuseError("every size must be at least 1, the seed 0, and lr above 0")
        if self.width < _NARROWEST or (self.width > _HEAD_WIDTH and self.width % _HEAD_WIDTH):
            raise MisuseError(f"width must be 3 to {_HEAD_WIDTH}, or a multiple of {_HEAD_WIDTH}")
        if self.schedule not in SCHEDULES:
            raise MisuseError(f"schedule {self.schedule!r} is not one of {', '.join(SCHEDULES)}")
        if not 0 <= self.dropout < 1:
            raise MisuseError("dropout must be in [0, 1)")
        if self.corrupt is not None:
            self.corrupt.check_dose(batch=self.batch, block=self.block)

    @property
    def heads(self) -> int:
        """Attention heads of 32, or one if the model is narrower."""
        return max(1, self.width // _HEAD_WIDTH)

    @property
    def spectral(self) -> bool:
        """Whether the gate asks for no more than ``measure.spectrum`` and the loss."""
        data = self.gate.as_data()
        return set(data.get("ranges") or data["metrics"]) <= {*SPECTRUM, "loss"}

    def as_data(self, corpus: Corpus) -> dict[str, Any]:
        """Return the payload of ``run.planned``."""
        data = {
            "gate": self.gate.as_data(),
            "max_iters": self.max_iters,
            "seed": self.seed,
            "model": self._model_data(),
            "data": corpus.as_data(),
            "overrides": dict(self.overrides),
        }
        if self.corrupt is not None:
            data["injection"] = self.corrupt.as_data()
        return data

    def _model_data(self) -> dict[str, int | float | str | bool]:
        model: dict[str, int | float | str | bool] = {
            "architecture": "gpt2",
            "vocabulary": VOCABULARY,
            "layers": self.layers,
            "width": self.width,
            "heads": self.heads,
            "block": self.block,
            "batch": self.batch,
            "dropout": self.dropout,
            "optimizer": "adamw",
            "lr": self.lr,
            "lr_schedule": f"cosine to {_FLOOR}" if self.schedule == "cosine" else self.schedule,
            "lr_warmup": _WARMUP_STEPS,
            "clip": _CLIP,
            "threads": self.threads,
        }
        if self.spectral:
            model["var_out_k"] = SPECTRUM_TOP_K
        if self.corrupt is not None:
            model["corrupt"] = str(self.corrupt)
        return model

    def rate(self, iteration: int) -> float:
        """Return the learning rate of an iteration: a short rise, then the schedule."""
        rise = min(1.0, (iteration + 1) / _WARMUP_STEPS)
        done = iteration / self.max_iters
        if self.schedule == "cosine":
            fall = _FLOOR + (1 - _FLOOR) * (1 + math.cos(math.pi * done)) / 2
        else:
            fall = 1 - done if self.schedule == "linear" else 1.0
        return self.lr * rise * fall


class Watcher(Protocol):
    """Who looks on while a run goes; the command prints a line."""

    def __call__(self, check: Check, values: Mapping[str, float]) -> None:
        """See a check, which is on record, and the metrics that were measured last."""


def train(
    settings: Settings,
    corpus: Corpus,
    run: GatedRun,
    *,
    watch: Watcher,
    stop_on: Collection[str] = (),
    group: Group | None = None,
) -> None:
    """Train to the end of *settings*, or to the first check whose decision is in *stop_on*.

    In a *group*, every rank calls this, with a ``SharedRun``.

    Raises:
        MisuseError: The corpus is too short for one block, or *run* has another gate.
        LedgerError: The run could not be recorded.
    """
    trainer = Trainer(settings, corpus, group)
    run.planned(settings.as_data(corpus))
    done, stopped = 0, None
    for check, values in _steps(trainer, run):
        done += 1
        if check is None:
            continue
        watch(check, values)
        if check.decision in stop_on and done < settings.max_iters:
            stopped = f"the gate said {check.decision} at {check.iter}"
            break
    run.finish(done, trainer.loss, stopped=stopped)


def _steps(trainer: "Trainer", run: GatedRun) -> Iterator[tuple[Check | None, Mapping[str, float]]]:
    fault = trainer.settings.corrupt
    values: Mapping[str, float] = {}
    for iteration in range(trainer.settings.max_iters):
        if fault is not None and iteration == fault.start:
            whole = 1.0 if fault.fraction is None else fault.fraction
            run.inject(iteration, fault.kind, fraction=whole, factor=fault.factor)
        trainer.step(iteration)
        if run.wants(iteration):
            with run.measuring():
                values = trainer.observe()
            run.observe(iteration, values)
        yield run.check(iteration + 1), values


class Trainer:
    """Model, optimizer, data and instruments; the torch half, which records nothing."""

    def __init__(self, settings: Settings, corpus: Corpus, group: Group | None = None) -> None:
        """Build the model from the seed; each rank of a *group* draws batches of its own.

        Raises:
            MisuseError: The corpus is too short for one block.
        """
        import torch

        if len(corpus.content) <= settings.block:
            raise MisuseError(
                f"{corpus.name} has {len(corpus.content)} bytes: too few for block {settings.block}"
            )
        torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(mode=True)
        torch.manual_seed(settings.seed)
        self.settings = settings
        self._torch = torch
        self._model = _build(settings)
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(), lr=settings.lr, betas=(0.9, 0.95)
        )
        self._replica = self._model if group is None else group.wrap(self._model)
        self._data = torch.frombuffer(bytearray(corpus.content), dtype=torch.uint8)
        drawn = settings.seed + (0 if group is None else group.rank * _RANK_STREAM)
        if group is not None:
            torch.manual_seed(drawn)  # the weights are made; dropout differs between ranks
        self._batches = torch.Generator().manual_seed(drawn)
        self._faults = torch.Generator().manual_seed(drawn + _FAULT_STREAM)
        self._iteration = -1
        self._loss = self._sum = torch.zeros(())
        self._summed = 0
        self._kept: Any = None
        self._hidden: Any = None
        self._meter = Meter()
        self._updates = Updates(self._model.transformer.h[-1].mlp.c_fc.weight)
        self._hook()

    @property
    def loss(self) -> float:
        """The loss of the last step."""
        return float(self._loss)

    def step(self, iteration: int) -> None:
        """Take one optimizer step. Nothing is copied off the device."""
        torch, settings = self._torch, self.settings
        self._iteration = iteration
        fault = self._fault()
        factor = 1.0 if fault is None or fault.factor is None else fault.factor
        for group in self._optimizer.param_groups:
            group["lr"] = settings.rate(iteration) * factor
        tokens, targets = self._batch(iteration)
        logits = self._replica(input_ids=tokens).logits.view(-1, VOCABULARY)
        loss = torch.nn.functional.cross_entropy(logits, targets.reshape(-1))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), _CLIP)
        self._optimizer.step()
        self._loss = loss.detach()
        self._sum = self._sum + self._loss
        self._summed += 1

    def observe(self) -> dict[str, float]:
        """Return what the last step showed, and the mean loss since the last observation."""
        loss = float(self._sum) / max(1, self._summed)
        self._sum, self._summed = self._torch.zeros(()), 0
        if self.settings.spectral:
            return {"loss": loss, **spectrum(self._hidden)}
        return {"loss": loss, "update_rms": self._updates(), **self._meter(self._hidden)}

    def state(self) -> Any:
        """Return everything that the next step depends on, for ``restore``; it can be pickled.

        Not the settings, the corpus and the fault: another run may branch off from here.
        """
        return copy.deepcopy(
            {
                "model": self._model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "random": (
                    self._torch.get_rng_state(),
                    self._batches.get_state(),
                    self._faults.get_state(),
                ),
                "loss": (self._loss, self._sum, self._summed),
                "kept": self._kept,
                "meter": self._meter.state(),
                "updates": self._updates.state(),
            }
        )

    def restore(self, state: Any) -> None:
        """Go on from where ``state`` was taken, of a trainer with a model of the same size."""
        state = copy.deepcopy(state)  # the optimizer would go on writing into its tensors
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        everywhere, batches, faults = state["random"]
        self._torch.set_rng_state(everywhere)
        self._batches.set_state(batches)
        self._faults.set_state(faults)
        self._loss, self._sum, self._summed = state["loss"]
        self._kept = state["kept"]
        self._meter.restore(state["meter"])
        self._updates.restore(state["updates"])

    def _fault(self) -> Corruption | None:
        """Return the fault, while it lasts."""
        fault = self.settings.corrupt
        return fault if fault is not None and fault.covers(self._iteration) else None

    def _hook(self) -> None:
        """Catch the hidden states on their way, and collapse them if that is the fault."""
        blocks = self._model.transformer.h
        fault = self.settings.corrupt
        if fault is not None and fault.kind == "collapse":
            blocks[(len(blocks) - 1) // 2].register_forward_hook(self._collapse)
        # The demo's gate was tuned on the states after the last norm, which has no scale.
        seen = self._model.transformer.ln_f if self.settings.spectral else blocks[-1]
        seen.register_forward_hook(self._catch)

    def _catch(self, module: Any, inputs: Any, output: Any) -> None:
        del module, inputs
        self._hidden = (output[0] if isinstance(output, tuple) else output).detach()

    def _collapse(self, module: Any, inputs: Any, output: Any) -> Any:
        """Project the residual stream on the mean direction of its tokens: rank 1 is left."""
        del module, inputs
        if self._fault() is None:
            return output
        hidden = output[0] if isinstance(output, tuple) else output
        mean = hidden.detach().mean((0, 1))
        direction = mean / mean.norm().clamp_min(1e-12)
        flat = (hidden @ direction).unsqueeze(-1) * direction
        return (flat, *output[1:]) if isinstance(output, tuple) else flat

    def _batch(self, iteration: int) -> tuple[Any, Any]:
        torch, settings = self._torch, self.settings
        places = len(self._data) - settings.block
        starts = torch.randint(places, (settings.batch, 1), generator=self._batches)
        window = self._data[starts + torch.arange(settings.block + 1)].long()
        fault = self._fault()
        if fault is not None and fault.kind == "stuck":
            self._kept = window if iteration == fault.start else self._kept
            window = self._kept
        tokens, targets = window[:, :-1], window[:, 1:]
        if fault is None:
            return tokens, targets
        if fault.kind in {"random", "drift"}:
            noise = torch.randint(VOCABULARY, tokens.shape, generator=self._faults)
            chosen = torch.rand(tokens.shape, generator=self._faults) < fault.share(iteration)
            tokens = torch.where(chosen, noise, tokens)
        elif fault.kind == "labels":
            targets = self._permuted(targets.reshape(1, -1), fault).view_as(targets)
        elif fault.kind in {"permute", "mask"}:
            tokens = self._permuted(tokens, fault)
        return tokens, targets

    def _permuted(self, rows: Any, fault: Corruption) -> Any:
        """Let chosen positions of each row change places, or mask them."""
        torch, length = self._torch, rows.shape[-1]
        order = torch.rand(rows.shape, generator=self._faults).argsort(-1)
        chosen = order[:, : fault.positions(self._iteration, length)]
        if fault.kind == "mask":
            return rows.scatter(1, chosen, _MASK)
        # A random order of the chosen: each takes the token of the one at its rank.
        return rows.scatter(1, chosen, rows.gather(1, chosen.sort(-1).values))


def _build(settings: Settings) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=settings.block,
        n_embd=settings.width,
        n_layer=settings.layers,
        n_head=settings.heads,
        resid_pdrop=settings.dropout,
        embd_pdrop=settings.dropout,
        attn_pdrop=settings.dropout,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    return GPT2LMHeadModel(config).train()
