"""Weights on their way: one set for each fold, all of the same model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napari_vrp_sam.fine_tuning.recipe import FineTuningRecipe

MOMENTS = ("exp_avg", "exp_avg_sq")


class Candidate:
    """One set of weights, its optimiser, and the best weights it ever had.

    Parameters
    ----------
    base : mapping of str to Parameter
        What it starts from, and whose place it takes by `enter`.
    recipe : FineTuningRecipe
    rate : callable
        From the name of a parameter to its highest learning rate.
    """

    def __init__(
        self,
        base: Mapping[str, nn.Parameter],
        recipe: FineTuningRecipe,
        rate: Callable[[str], float],
    ) -> None:
        self._model = base
        self._clip = recipe.clip
        self.weights = {name: nn.Parameter(p.detach().clone()) for name, p in base.items()}
        self.best = {name: p.detach().clone() for name, p in base.items()}
        groups: list[dict[str, Any]] = []
        rates = {name: rate(name) for name in self.weights}
        for peak in sorted(set(rates.values())):
            own = [p for name, p in self.weights.items() if rates[name] == peak]
            for matrices, decay in ((True, recipe.weight_decay), (False, 0.0)):
                params = [p for p in own if (p.ndim > 1) == matrices]
                if params:
                    groups.append({"params": params, "weight_decay": decay, "peak": peak})
        self._optimiser = torch.optim.AdamW(groups, lr=0.0)

    def enter(self) -> None:
        """Let the model work with these weights; nothing is copied."""
        put(self._model, self.weights)

    def learn(self, rate: float) -> None:
        """One step along the gradients that the model holds; `rate` is a share of the peak."""
        for name, weight in self.weights.items():
            weight.grad, self._model[name].grad = self._model[name].grad, None
        nn.utils.clip_grad_norm_(self.weights.values(), self._clip)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["peak"]
        self._optimiser.step()
        self._optimiser.zero_grad()

    def keep(self) -> None:
        """Take the present weights for the best."""
        for name, weight in self.weights.items():
            self.best[name].copy_(weight.detach())

    def state(self) -> dict[str, Tensor]:
        """All of it, as named tensors."""
        tensors = {f"weights/{name}": p.detach() for name, p in self.weights.items()}
        tensors |= {f"best/{name}": p for name, p in self.best.items()}
        for name, weight in self.weights.items():
            for key, value in self._optimiser.state.get(weight, {}).items():
                tensors[f"{key}/{name}"] = torch.as_tensor(value)
        return tensors

    @torch.no_grad()
    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave.

        Raises
        ------
        KeyError, RuntimeError
            If it is that of another model.
        """
        for name, weight in self.weights.items():
            weight.copy_(tensors[f"weights/{name}"])
            self.best[name].copy_(tensors[f"best/{name}"])
            if f"step/{name}" in tensors:
                moments = {key: tensors[f"{key}/{name}"].to(weight) for key in MOMENTS}
                # AdamW counts on the CPU.
                self._optimiser.state[weight] = {"step": tensors[f"step/{name}"], **moments}


def put(model: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor]) -> None:
    """Let a model work with other weights; nothing is copied."""
    for name, parameter in model.items():
        parameter.data = weights[name].data


def mean(
    sets: Sequence[Mapping[str, Tensor]], base: Mapping[str, Tensor], keep_base: float
) -> dict[str, Tensor]:
    """Mean of several sets of weights, with a share of those that they started from.

    Weights tuned from one start lie in one valley of the loss; their mean often serves better than
    any of them (Wortsman et al., "Model soups", ICML 2022).
    """
    means = {}
    for name, start in base.items():
        tuned = torch.stack([weights[name].detach() for weights in sets]).mean(dim=0)
        means[name] = tuned.lerp(start.detach(), keep_base)
    return means
