"""What the gate is told about a model: the shape of its hidden states, and its own movement.

All of it comes from tensors that the training step computed anyway; nothing here
runs a model. A snapshot costs about a millisecond, however wide the model: at
most ``tokens`` tokens are looked at, and wide ones are projected before any
covariance is formed. torch is imported when an instrument is made.
"""

import copy
import math
from typing import Any

SPECTRUM = ("eff_dim", "var_out_k")
SHAPE = ("act_rms", "cos_disp", "eff_dim", "rankme", "var_out_k")
"""What a ``Meter`` gives. ``act_rms`` is in the model's own units, the rest are
of the normalised hidden states: ``cos_disp`` in [0, 1], ``eff_dim`` and ``rankme``
in [1, dim], ``var_out_k`` in [0, 1]."""

SPECTRUM_TOP_K = 2
_EMA = 0.1  # share of the newest snapshot in the running frame
_TINY = 1e-6  # below this a direction's spread, or a token's length, counts as none
_PROJECTION_SEED = 42
_MAX_WATCHED = 4096  # numbers of a parameter that are compared


def spectrum(hidden: Any) -> dict[str, float]:
    """Return what the eigenvalues of the covariance of *hidden* (…, D) say; all of it, in binary64.

    ``var_out_k`` is the share of the variance outside the two largest eigenvalues,
    ``eff_dim`` the participation ratio, (sum)^2 / (sum of squares). Both are NaN
    if any number is not finite. For small models: it costs D^2 for every token.
    """
    import torch

    flat = hidden.reshape(-1, hidden.shape[-1]).double()
    centred = flat - flat.mean(0)
    covariance = centred.T @ centred / max(len(flat) - 1, 1)
    if not torch.isfinite(covariance).all():  # eigvalsh would raise; the gate must see it
        return dict.fromkeys(SPECTRUM, math.nan)
    values = torch.linalg.eigvalsh(covariance).clamp_min(0)
    total = values.sum()
    return {
        "eff_dim": float(total * total / values.square().sum()),
        "var_out_k": float(1 - values[-SPECTRUM_TOP_K:].sum() / total),
    }


class Meter:
    """Measures the hidden states of one run, snapshot by snapshot.

    Each snapshot is normalised by the frame (mean and spread of each dimension,
    exponentially averaged) of the snapshots before it, projected to ``dim``
    dimensions by a fixed Gaussian matrix if the model is wider, and then
    summarised. Tokens are taken evenly spaced and pairs are drawn once, so two
    meters with the same arguments measure alike. Not for several threads at once.

    ``var_out_k`` is the share of the variance outside the k = round(sqrt(d)) largest
    eigenvalues, ``eff_dim`` their participation ratio, ``rankme`` the exponential of
    their entropy (Garrido et al. 2023, eq. 1, of eigenvalues of the covariance),
    ``cos_disp`` the mean absolute cosine of ``pairs`` pairs of tokens, and
    ``act_rms`` the root mean square of the hidden states as they are.
    """

    def __init__(
        self, seed: int = 0, tokens: int = 512, *, pairs: int = 256, dim: int = 64
    ) -> None:
        """Begin with no frame: the first snapshot is normalised by itself."""
        import torch

        self._torch = torch
        self._seed = seed
        self._tokens = tokens
        self._pairs = pairs
        self._dim = dim
        self._frame: tuple[Any, Any] | None = None
        self._drawn: dict[int, tuple[Any, Any]] = {}
        self._projection: Any = None

    def __call__(self, hidden: Any) -> dict[str, float]:
        """Measure *hidden* (…, D), on any device; every value is NaN if a number is not finite."""
        torch = self._torch
        with torch.no_grad():
            flat = self._sample(hidden.detach())
            scale = float(flat.square().mean()) ** 0.5
            if not math.isfinite(scale):
                return dict.fromkeys(SHAPE, math.nan)
            points = self._project(self._normalise(flat))
            return {"act_rms": scale, "cos_disp": self._alignment(points), **_ranks(torch, points)}

    def state(self) -> Any:
        """Return what the next snapshot depends on, for ``restore``."""
        return copy.deepcopy(self._frame)

    def restore(self, state: Any) -> None:
        """Go on from where ``state`` was taken."""
        self._frame = copy.deepcopy(state)

    def _sample(self, hidden: Any) -> Any:
        flat = hidden.reshape(-1, hidden.shape[-1])
        step = max(1, len(flat) // self._tokens)
        return flat[::step][: self._tokens].float()

    def _normalise(self, flat: Any) -> Any:
        centre = flat.mean(0)
        spread = (flat - centre).square().mean(0).sqrt()  # torch.std takes ten times as long
        if self._frame is None:
            self._frame = (centre, spread)
        mean, deviation = self._frame
        points = (flat - mean) / deviation.clamp_min(_TINY)
        self._frame = (mean.lerp(centre, _EMA), deviation.lerp(spread, _EMA))
        return points

    def _project(self, points: Any) -> Any:
        width = points.shape[-1]
        if width <= self._dim:
            return points
        if self._projection is None or len(self._projection) != width:
            draw = self._torch.Generator().manual_seed(_PROJECTION_SEED + width)
            matrix = self._torch.randn(width, self._dim, generator=draw) / self._dim**0.5
            self._projection = matrix.to(points.device)
        return points @ self._projection

    def _alignment(self, points: Any) -> float:
        one, other = self._pairs_of(len(points))
        left, right = points.index_select(0, one), points.index_select(0, other)
        lengths = (left.square().sum(1) * right.square().sum(1)).sqrt().clamp_min(_TINY)
        return float(((left * right).sum(1).abs() / lengths).mean())

    def _pairs_of(self, count: int) -> tuple[Any, Any]:
        """Return the indices of pairs of *different* tokens; drawn once for each count."""
        if count not in self._drawn:
            draw = self._torch.Generator().manual_seed(self._seed)
            one = self._torch.randint(count, (self._pairs,), generator=draw)
            # An offset in [1, count) makes every pair of two: a token's cosine with itself is 1.
            far = self._torch.randint(1, max(2, count), (self._pairs,), generator=draw)
            self._drawn[count] = (one, (one + far) % count)
        return self._drawn[count]


def _ranks(torch: Any, points: Any) -> dict[str, float]:
    """Return the three summaries of the eigenvalues of the covariance of *points* (n, d)."""
    centred = points - points.mean(0)
    covariance = centred.T @ centred
    if not torch.isfinite(covariance).all():  # finite states, but far outside their frame
        return dict.fromkeys(("eff_dim", "rankme", "var_out_k"), math.nan)
    # On the host in any case: 64 x 64 numbers, and an accelerator is slow at it.
    values = torch.linalg.eigvalsh(covariance.cpu()).double().clamp_min(0)
    total = float(values.sum())
    if not total > 0:  # every token alike: one point has rank 1 and nothing outside it
        return {"eff_dim": 1.0, "rankme": 1.0, "var_out_k": 0.0}
    shares = values / total
    top = round(len(values) ** 0.5)
    return {
        "eff_dim": 1 / float(shares.square().sum()),
        "rankme": math.exp(float(torch.special.entr(shares).sum())),
        "var_out_k": max(0.0, 1 - float(shares[-top:].sum())),
    }


class Updates:
    """How far one parameter moved since the last look: a stalled optimizer shows as exactly 0."""

    def __init__(self, parameter: Any) -> None:
        """Remember where *parameter* stands; of a large one, evenly spaced numbers."""
        self._parameter = parameter
        self._step = max(1, parameter.numel() // _MAX_WATCHED)
        self._last = self._look().clone()

    def __call__(self) -> float:
        """Return the RMS change since the last call; 0.0 exactly if no number moved at all."""
        now = self._look()
        # binary64: the square of a very small float32 would be 0, which means "stalled" here.
        moved = float((now - self._last).double().square().mean().sqrt())
        self._last.copy_(now)
        return moved

    def state(self) -> Any:
        """Return what the next call depends on, for ``restore``."""
        return self._last.clone()

    def restore(self, state: Any) -> None:
        """Go on from where ``state`` was taken."""
        self._last.copy_(state)

    def _look(self) -> Any:
        return self._parameter.detach().reshape(-1)[:: self._step]
