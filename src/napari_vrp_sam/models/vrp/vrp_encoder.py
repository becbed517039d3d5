"""The VRP encoder: from annotated references and a target to prompts for SAM's mask decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.vrp.feature_augmenter import FeatureAugmenter, mask_on_grid, prototype
from napari_vrp_sam.models.vrp.prompt_generator import PromptGenerator
from napari_vrp_sam.models.weights.checkpoints import (
    Checkpoint,
    convert_original_names,
    load_tensors,
)

QueryInitialisation = Literal["random", "foreground", "background", "half"]
"""What queries begin as (paper, table 6): learnable tokens, the class prototype, the prototype of
all that is not annotated, or one half of them each."""


@dataclass(frozen=True, eq=False)
class ReferenceEncoding:
    """All that the prompts need of the references: compute it once, use it for every target.

    Attributes
    ----------
    prototype : Tensor, shape (B, dim, 1, 1)
        Mean feature of the annotated class.
    queries : Tensor, shape (B, N, dim)
        Queries after their attention to the reference.
    """

    prototype: Tensor
    queries: Tensor


class VRPEncoder(nn.Module):
    """Visual reference prompt encoder of VRP-SAM (paper, section 3.2).

    It knows no backbone: semantic features and the target's pseudo-mask are given.

    Parameters
    ----------
    in_channels : int
        Channels of the semantic features.
    dim : int, default 256
        Width of the prompts: SAM's embedding width.
    queries : int, default 50
        Prompts made of each reference.
    heads : int, default 4
        Attention heads.
    dropout : float, default 0.5
        Channel dropout on the reduced features, in training only.
    initialisation : {"random", "foreground", "background", "half"}
        What the queries begin as. Equal queries stay equal: prototypes make one or two prompts,
        repeated.

    Raises
    ------
    InputError
        If there is no such initialisation.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int = 256,
        *,
        queries: int = 50,
        heads: int = 4,
        dropout: float = 0.5,
        initialisation: QueryInitialisation = "random",
    ) -> None:
        super().__init__()
        if initialisation not in get_args(QueryInitialisation):
            raise InputError(
                f"Unknown initialisation of queries {initialisation!r}: "
                f"use {', '.join(get_args(QueryInitialisation))}."
            )
        self.augmenter = FeatureAugmenter(in_channels, dim, dropout=dropout)
        learned = queries if initialisation == "random" else 0
        self.generator = PromptGenerator(dim, learned, heads)
        self.initialisation: QueryInitialisation = initialisation
        self.config = {
            "in_channels": in_channels,
            "dim": dim,
            "queries": queries,
            "heads": heads,
        }

    def as_metadata(self) -> dict[str, str]:
        """What `from_checkpoint` cannot tell from the tensors alone."""
        numbers = {key: str(self.config[key]) for key in ("queries", "heads")}
        return {**numbers, "initialisation": self.initialisation}

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, *, source: str) -> VRPEncoder:
        """Build the encoder that a checkpoint holds, in our names or in the authors'.

        Parameters
        ----------
        checkpoint : Checkpoint
            Sizes follow from its tensors; `heads` from its metadata, else 4, and so does what
            the queries begin as.
        source : str
            Named in the error.

        Raises
        ------
        InputError
            If it holds no VRP encoder, or only a part of one.
        """
        ours = "augmenter.reduction.0.weight" in checkpoint.tensors
        tensors = checkpoint.tensors if ours else convert_original_names(checkpoint.tensors)
        told = checkpoint.metadata
        initialisation = told.get("initialisation", "random")
        try:
            dim, in_channels = tensors["augmenter.reduction.0.weight"].shape[:2]
            learned = initialisation == "random"
            queries = len(tensors["generator.queries"]) if learned else int(told["queries"])
            heads = int(told.get("heads", 4))
        except (KeyError, ValueError) as error:
            raise InputError(f"{source} holds no VRP encoder.") from error
        encoder = cls(
            in_channels,
            dim,
            queries=queries,
            heads=heads,
            initialisation=cast(QueryInitialisation, initialisation),
        )
        load_tensors(encoder, tensors, source=source)
        return encoder

    def encode_reference(self, features: Tensor, masks: Tensor) -> ReferenceEncoding:
        """Encode references: the half of the work that does not depend on the target.

        Parameters
        ----------
        features : Tensor, shape (B, C, h, w)
            Semantic features of the reference frames.
        masks : Tensor, shape (B, 1, H, W)
            Annotations in 0..1, resized to the feature grid by nearest neighbour.
        """
        mask = mask_on_grid(masks, (features.shape[-2], features.shape[-1]))
        reduced = self.augmenter.reduce(features)
        mean = prototype(reduced, mask)
        enhanced = self.augmenter.enhance(reduced, mean, mask)
        first = self._prototypes(reduced, mean, mask)
        return ReferenceEncoding(mean, self.generator.attend_reference(enhanced, first))

    def _prototypes(self, reduced: Tensor, mean: Tensor, mask: Tensor) -> Tensor | None:
        """Queries of shape (B, N, dim) to begin with, where they are not learned."""
        if self.initialisation == "random":
            return None
        count = self.config["queries"]
        background = {"foreground": 0, "background": count}.get(self.initialisation, count // 2)
        # Of an odd number the foreground has one more.
        of_class = mean.flatten(2).transpose(1, 2).expand(-1, count - background, -1)
        rest = prototype(reduced, 1 - mask).flatten(2).transpose(1, 2).expand(-1, background, -1)
        return torch.cat([of_class, rest], dim=1)

    def prompts(
        self, references: ReferenceEncoding, target_features: Tensor, pseudo_mask: Tensor
    ) -> Tensor:
        """Prompts for targets.

        Parameters
        ----------
        references : ReferenceEncoding
            Of B references.
        target_features : Tensor, shape (B, C, h, w) or (1, C, h, w)
            Semantic features; a single target is shared by all references.
        pseudo_mask : Tensor, shape (B, 1, h, w)
            Where the target may show the class of each reference.

        Returns
        -------
        Tensor, shape (B, N, dim)
            `concatenate_shots` joins those of several references of one class.
        """
        enhanced = self.enhance_target(references, target_features, pseudo_mask)
        return self.generator.attend_target(references.queries, enhanced)

    def enhance_target(
        self, references: ReferenceEncoding, target_features: Tensor, pseudo_mask: Tensor
    ) -> Tensor:
        """What the queries attend to in targets, shape (B, dim, h, w); parameters as `prompts`."""
        reduced = self.augmenter.reduce(target_features)
        reduced = reduced.expand(len(references.queries), -1, -1, -1)
        return self.augmenter.enhance(reduced, references.prototype, pseudo_mask)

    def forward(
        self,
        reference_features: Tensor,
        reference_masks: Tensor,
        target_features: Tensor,
        pseudo_mask: Tensor,
    ) -> Tensor:
        """Prompts of shape (B, N, dim) in one go, as in training."""
        references = self.encode_reference(reference_features, reference_masks)
        return self.prompts(references, target_features, pseudo_mask)


def concatenate_shots(prompts: Tensor, shots: int) -> Tensor:
    """Join the prompts of several references of one class along the token axis (5-VRP).

    Parameters
    ----------
    prompts : Tensor, shape (B * shots, N, dim)
        The shots of a sample follow each other.
    shots : int

    Returns
    -------
    Tensor, shape (B, shots * N, dim)
    """
    return prompts.reshape(-1, shots * prompts.shape[1], prompts.shape[2])
