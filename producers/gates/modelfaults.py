"""Inflict a fault on a model that somebody else trains: from outside, by hooks.

The kinds and their doses are those of ``producers.gates.corruption``. Inputs and
targets are changed on the model's doorstep, because a Trainer fetches batches
ahead: what its collator makes now is trained on later.
"""

from collections.abc import Callable, Mapping
from typing import Any

from producers.gates.corruption import Corruption
from producers.gates.hooks import last_block

_STREAM = 1_000_003  # a corrupted run draws nothing else than its control does
_MASK = 0
_TINY = 1e-12


class Faults:
    """One fault of one model; *iteration* tells which one is being trained."""

    def __init__(
        self, fault: Corruption, iteration: Callable[[], int], *, seed: int, vocabulary: int
    ) -> None:
        """Do nothing yet; ``attach`` puts the hooks in."""
        import torch

        self._torch = torch
        self._fault = fault
        self._iteration = iteration
        self._vocabulary = vocabulary
        self._random = torch.Generator().manual_seed(seed + _STREAM)
        self._kept: Mapping[str, Any] | None = None

    def attach(self, model: Any) -> None:
        """Put the hooks in that this kind needs; the learning rate needs none, see ``rate``."""
        if self._fault.kind == "collapse":
            stack = model.get_submodule(last_block(model)[0].rpartition(".")[0])
            stack[(len(stack) - 1) // 2].register_forward_hook(self._collapse)
        elif self._fault.kind != "lr":
            model.register_forward_pre_hook(self._change, with_kwargs=True)

    def rate(self, step: int) -> float:
        """Return what the learning rate of a step is multiplied by."""
        factor = self._fault.factor
        return factor if factor is not None and self._fault.covers(step) else 1.0

    def _active(self, module: Any) -> bool:
        return bool(module.training) and self._fault.covers(self._iteration())

    def _change(self, module: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        if not self._active(module):
            return None
        changed = dict(kwargs)
        kind = self._fault.kind
        if kind == "stuck":
            self._kept = self._kept or {k: changed[k] for k in ("input_ids", "labels")}
            return args, {**changed, **self._kept}
        if kind == "labels":
            flat = changed["labels"].reshape(1, -1)
            changed["labels"] = self._rearranged(flat).view_as(changed["labels"])
        elif kind in {"random", "drift"}:
            changed["input_ids"] = self._replaced(changed["input_ids"])
        else:
            changed["input_ids"] = self._rearranged(changed["input_ids"])
        return args, changed

    def _replaced(self, tokens: Any) -> Any:
        share = self._fault.share(self._iteration())
        noise = self._torch.randint(self._vocabulary, tokens.shape, generator=self._random)
        chosen = self._torch.rand(tokens.shape, generator=self._random) < share
        return self._torch.where(chosen.to(tokens.device), noise.to(tokens.device), tokens)

    def _rearranged(self, rows: Any) -> Any:
        """Let chosen positions of each row change places, or mask them."""
        order = self._torch.rand(rows.shape, generator=self._random).argsort(-1)
        count = self._fault.positions(self._iteration(), rows.shape[-1])
        chosen = order[:, :count].to(rows.device)
        if self._fault.kind == "mask":
            return rows.scatter(1, chosen, _MASK)
        # A random order of the chosen: each takes the token of the one at its rank.
        return rows.scatter(1, chosen, rows.gather(1, chosen.sort(-1).values))

    def _collapse(self, module: Any, args: Any, output: Any) -> Any:
        """Project the residual stream on the mean direction of its tokens: rank 1 is left."""
        del args
        if not self._active(module):
            return output
        hidden = output[0] if isinstance(output, tuple) else output
        mean = hidden.detach().mean((0, 1))
        direction = mean / mean.norm().clamp_min(_TINY)
        flat = (hidden @ direction).unsqueeze(-1) * direction
        return (flat, *output[1:]) if isinstance(output, tuple) else flat
