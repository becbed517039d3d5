"""VRP encoder: prompts for SAM's mask decoder from annotated references and a target."""

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
"""Initial queries (paper, table 6): learnable tokens, the prototype of the class or of the
background, or one half of each prototype."""


@dataclass(frozen=True, eq=False)
class ReferenceEncoding:
    """Encoded references, which are computed once and used for every target.

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

    Its inputs are semantic features of any backbone and the pseudo-mask of the target.

    Parameters
    ----------
    in_channels : int
        Number of channels of the semantic features.
    dim : int, default 256
        Width of the prompts, equal to SAM's embedding width.
    queries : int, default 50
        Number of prompts per reference.
    heads : int, default 4
        Number of attention heads.
    dropout : float, default 0.5
        Probability of channel dropout on the reduced features, in training only.
    initialisation : {"random", "foreground", "background", "half"}
        Initial queries. Equal queries stay equal, so prototypes give only one or two different
        prompts.

    Raises
    ------
    InputError
        If the initialisation is unknown.
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
                f"Unknown query initialisation {initialisation!r}: "
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
        """Return the settings that `from_checkpoint` cannot derive from the tensors."""
        numbers = {key: str(self.config[key]) for key in ("queries", "heads")}
        return {**numbers, "initialisation": self.initialisation}

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, *, source: str) -> VRPEncoder:
        """Build the encoder of a checkpoint, with our tensor names or those of the original code.

        Parameters
        ----------
        checkpoint : Checkpoint
            Sizes follow from the tensors, other settings from the metadata; without metadata,
            `heads` is 4 and `initialisation` is "random".
        source : str
            Name of the file, for the error message.

        Raises
        ------
        InputError
            If it does not hold a complete VRP encoder.
        """
        ours = "augmenter.reduction.0.weight" in checkpoint.tensors
        tensors = checkpoint.tensors if ours else convert_original_names(checkpoint.tensors)
        metadata = checkpoint.metadata
        initialisation = metadata.get("initialisation", "random")
        try:
            dim, in_channels = tensors["augmenter.reduction.0.weight"].shape[:2]
            learned = initialisation == "random"
            queries = len(tensors["generator.queries"]) if learned else int(metadata["queries"])
            heads = int(metadata.get("heads", 4))
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{source} holds neither a VRP encoder nor a whole SAM: choose another file."
            ) from error
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
        """Encode references, independently of the target.

        Parameters
        ----------
        features : Tensor, shape (B, C, h, w)
            Semantic features of the reference frames.
        masks : Tensor, shape (B, 1, H, W)
            Annotations in 0..1; see `mask_on_grid`.
        """
        mask = mask_on_grid(masks, (features.shape[-2], features.shape[-1]))
        reduced = self.augmenter.reduce(features)
        mean = prototype(reduced, mask)
        enhanced = self.augmenter.enhance(reduced, mean, mask)
        first = self.initial_queries(reduced, mean, mask)
        return ReferenceEncoding(mean, self.generator.attend_reference(enhanced, first))

    def initial_queries(self, reduced: Tensor, mean: Tensor, mask: Tensor) -> Tensor | None:
        """Return the initial queries, shape (B, N, dim); None if they are learnable.

        Parameters are the reduced features (B, dim, h, w), the class prototype (B, dim, 1, 1) and
        the mask (B, 1, h, w) of the references.
        """
        if self.initialisation == "random":
            return None
        count = self.config["queries"]
        background = {"foreground": 0, "background": count}.get(self.initialisation, count // 2)
        foreground = mean.flatten(2).transpose(1, 2).expand(-1, count - background, -1)
        others = prototype(reduced, 1 - mask).flatten(2).transpose(1, 2).expand(-1, background, -1)
        return torch.cat([foreground, others], dim=1)

    def prompts(
        self, references: ReferenceEncoding, target_features: Tensor, pseudo_mask: Tensor
    ) -> Tensor:
        """Return the prompts for targets.

        Parameters
        ----------
        references : ReferenceEncoding
            Encoding of B references.
        target_features : Tensor, shape (B, C, h, w) or (1, C, h, w)
            Semantic features of one target per reference, or of one target for all references.
        pseudo_mask : Tensor, shape (B, 1, h, w)
            Pseudo-mask of the target for each reference.

        Returns
        -------
        Tensor, shape (B, N, dim)
            See `concatenate_shots` for several references of one class.
        """
        enhanced = self.enhance_target(references, target_features, pseudo_mask)
        return self.generator.attend_target(references.queries, enhanced)

    def enhance_target(
        self, references: ReferenceEncoding, target_features: Tensor, pseudo_mask: Tensor
    ) -> Tensor:
        """Return enhanced target features of shape (B, dim, h, w); parameters as for `prompts`."""
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
        """Return prompts of shape (B, N, dim) from references and targets, for training."""
        references = self.encode_reference(reference_features, reference_masks)
        return self.prompts(references, target_features, pseudo_mask)


def concatenate_shots(prompts: Tensor, shots: int) -> Tensor:
    """Concatenate the prompts of several references of one class along the token axis.

    Parameters
    ----------
    prompts : Tensor, shape (B * shots, N, dim)
        Prompts of the shots of the first sample, then of the second, and so on.
    shots : int
        Number of references per sample.

    Returns
    -------
    Tensor, shape (B, shots * N, dim)
    """
    return prompts.reshape(-1, shots * prompts.shape[1], prompts.shape[2])
