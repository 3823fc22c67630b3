"""See what a model's own training forward shows, without a second one.

Two hooks: one on the model, which adds up its loss on the device at every step,
and one on a block, which measures the block's output at the steps that were asked
for. Nothing is copied off the device at any other step. torch is imported when a
``Watch`` is made.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from ledger import MisuseError
from producers.gates.measure import Meter, Updates

Timed = Callable[[], AbstractContextManager[None]]
"""Gives a block of code whose time is counted (``GatedRun.measuring``)."""


class Watch:
    """What is seen of one model while it trains. Not for several threads at once."""

    def __init__(self, model: Any, block: str | None, *, timed: Timed) -> None:
        """Put the hooks in; *block* names the block to measure, ``None`` finds the last.

        Raises:
            MisuseError: There is no such block, or nothing in the model is trained.
        """
        self.block, module = last_block(model, block)
        self.logged: float | None = None
        self._timed = timed
        self._meter = Meter()
        self._updates = Updates(_watched(model, module))
        self._armed = False
        self._mask: Any = None
        self._shape: dict[str, float] = {}
        self._sum: Any = None
        self._forwards = self._steps = 0
        self._shared = False
        self._handles = (
            model.register_forward_pre_hook(self._before, with_kwargs=True),
            model.register_forward_hook(self._after, with_kwargs=True),
            module.register_forward_hook(self._see),
        )

    @property
    def has_loss(self) -> bool:
        """Whether the model has returned a loss since the last ``take``."""
        return self._sum is not None

    def arm(self) -> None:
        """Measure the block's output in the next training forward."""
        self._armed = True

    def step(self) -> None:
        """Say that an optimizer step is complete."""
        self._steps += 1
        self._armed = False

    def take(self, *, ranks: int = 1) -> dict[str, float]:
        """Return what was seen since the last call.

        ``loss`` is the mean over the steps; where the model returned none, it is
        the last that was logged. *ranks* is over how many processes a batch's
        tokens were counted, when the model divides its loss by that count.
        """
        values = {**self._shape, "update_rms": self._updates()}
        loss = self._mean_loss(ranks)
        if loss is not None:
            values["loss"] = loss
        self._shape, self._sum, self.logged = {}, None, None
        self._forwards = self._steps = 0
        return values

    def close(self) -> None:
        """Take the hooks out."""
        for handle in self._handles:
            handle.remove()

    def _mean_loss(self, ranks: int) -> float | None:
        if self._sum is None:
            return self.logged
        if self._shared:  # each forward gave its share of its step's loss
            return float(self._sum) * ranks / max(1, self._steps)
        return float(self._sum) / self._forwards

    def _before(self, module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        del args
        if self._armed and module.training:
            self._mask = kwargs.get("attention_mask")

    def _after(self, module: Any, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        del args
        loss = _loss_of(output) if module.training else None
        if loss is None:
            return
        # The mean of one number is a copy: the Trainer scales the very tensor in place afterwards.
        share = loss.detach().float().mean()
        self._sum = share if self._sum is None else self._sum + share
        self._shared = kwargs.get("num_items_in_batch") is not None
        self._forwards += 1

    def _see(self, module: Any, args: Any, output: Any) -> None:
        del args
        if not (self._armed and module.training):
            return
        self._armed = False  # of several micro-batches the first; recomputed blocks not again
        with self._timed():
            hidden = output[0] if isinstance(output, tuple) else output
            self._shape = self._meter(_unpadded(hidden.detach(), self._mask))
            self._mask = None


def last_block(model: Any, name: str | None = None) -> tuple[str, Any]:
    """Return the name and the module of the block to measure.

    Without a *name*, it is the last of the longest ``ModuleList`` that is not
    itself inside one: the stack of layers, and not the experts of one layer. Of
    two as long, such as an encoder's and a decoder's, it is the later one.

    Raises:
        MisuseError: There is none.
    """
    from torch import nn

    if name is not None:
        try:
            return name, model.get_submodule(name)
        except AttributeError as error:
            raise MisuseError(f"block {name!r}: the model has no such module") from error
    best, stack = "", None
    inside: list[str] = []
    for path, module in model.named_modules():
        if not isinstance(module, nn.ModuleList) or path.startswith(tuple(inside)):
            continue
        inside.append(f"{path}.")
        if len(module) and (stack is None or len(module) >= len(stack)):
            best, stack = path, module
    if stack is None:
        raise MisuseError(
            f"{type(model).__name__} has no ModuleList of blocks: say which module to measure,"
            " with block=NAME (a name of model.named_modules())"
        )
    return f"{best}.{len(stack) - 1}", stack[-1]


def _watched(model: Any, block: Any) -> Any:
    """Return the parameter whose movement is measured: a trained matrix, of the block if it can."""
    for module in (block, model):
        trained = [p for p in module.parameters() if p.requires_grad and p.numel()]
        matrices = [p for p in trained if p.ndim > 1]
        if trained:
            return (matrices or trained)[0]
    raise MisuseError("the model has no trainable parameter: there is nothing to watch")


def _loss_of(output: Any) -> Any:
    """Return the loss that a model returned, ``None`` if it did not."""
    if isinstance(output, Mapping):
        return output.get("loss")
    first = output[0] if isinstance(output, tuple) and output else output
    loss = getattr(output, "loss", first)
    return loss if getattr(loss, "ndim", None) == 0 else None


def _unpadded(hidden: Any, mask: Any) -> Any:
    """Leave out the positions that *mask* marks as padding, if it is a mask of this kind."""
    if mask is None or tuple(getattr(mask, "shape", ())) != tuple(hidden.shape[:-1]):
        return hidden
    kept = hidden[mask.bool()]
    return kept if len(kept) else hidden
