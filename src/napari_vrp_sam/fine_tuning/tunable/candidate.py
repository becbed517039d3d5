"""Sets of weights in training: one for each fold, all of the same model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe

MOMENTS = ("exp_avg", "exp_avg_sq")


class Candidate:
    """Set of weights with its optimiser and the best weights so far.

    The initial weights are the values of the model's trained parameters, `base`. `learning_rate`
    returns the peak learning rate of a parameter, given its name.
    """

    def __init__(
        self,
        base: Mapping[str, nn.Parameter],
        recipe: FineTuningRecipe,
        learning_rate: Callable[[str], float],
    ) -> None:
        self._model = base
        self._clip = recipe.clip
        self.weights = {name: nn.Parameter(p.detach().clone()) for name, p in base.items()}
        self.best = {name: p.detach().clone() for name, p in base.items()}
        groups: list[dict[str, Any]] = []
        rates = {name: learning_rate(name) for name in self.weights}
        for peak in sorted(set(rates.values())):
            same_rate = [p for name, p in self.weights.items() if rates[name] == peak]
            for matrices, decay in ((True, recipe.weight_decay), (False, 0.0)):
                params = [p for p in same_rate if (p.ndim > 1) == matrices]
                if params:
                    groups.append({"params": params, "weight_decay": decay, "peak": peak})
        self._optimiser = torch.optim.AdamW(groups, lr=0.0)

    def activate(self) -> None:
        """Set the model's parameters to these weights."""
        set_weights(self._model, self.weights)

    def update(self, rate: float) -> None:
        """Take an optimiser step along the model's gradients, at a share of the peak rate."""
        for name, weight in self.weights.items():
            weight.grad, self._model[name].grad = self._model[name].grad, None
        nn.utils.clip_grad_norm_(self.weights.values(), self._clip)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["peak"]
        self._optimiser.step()
        self._optimiser.zero_grad()

    def save_best(self) -> None:
        """Save the current weights as the best ones."""
        for name, weight in self.weights.items():
            self.best[name].copy_(weight.detach())

    def state(self) -> dict[str, Tensor]:
        """Return the complete state as named tensors."""
        tensors = {f"weights/{name}": p.detach() for name, p in self.weights.items()}
        tensors |= {f"best/{name}": p for name, p in self.best.items()}
        for name, weight in self.weights.items():
            for key, value in self._optimiser.state.get(weight, {}).items():
                tensors[f"{key}/{name}"] = torch.as_tensor(value)
        return tensors

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore a state; raise `KeyError` or `RuntimeError` if it is that of another model."""
        for name, weight in self.weights.items():
            weight.copy_(tensors[f"weights/{name}"])
            self.best[name].copy_(tensors[f"best/{name}"])
            if f"step/{name}" in tensors:
                moments = {key: tensors[f"{key}/{name}"].to(weight) for key in MOMENTS}
                # AdamW counts its steps on the CPU.
                self._optimiser.state[weight] = {"step": tensors[f"step/{name}"], **moments}


@torch.no_grad()
def set_weights(model: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor]) -> None:
    """Copy other weights to parameters.

    With shared storage, `FoldedBackbone` would not notice that the weights were trained.
    """
    for name, parameter in model.items():
        parameter.copy_(weights[name])


def mean_weights(
    sets: Sequence[Mapping[str, Tensor]], base: Mapping[str, Tensor], keep_base: float
) -> dict[str, Tensor]:
    """Average several sets of weights, and interpolate between the mean and the base weights.

    The mean of weights that were tuned from one model is often better than each of them
    (Wortsman et al., "Model soups", ICML 2022).
    """
    means = {}
    for name, start in base.items():
        tuned = torch.stack([weights[name].detach() for weights in sets]).mean(dim=0)
        means[name] = tuned.lerp(start.detach(), keep_base)
    return means
