"""The VRP encoder: from annotated references and a target to prompts for SAM's mask decoder."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.checkpoints import Checkpoint, from_authors, load_tensors
from napari_vrp_sam.models.feature_augmenter import FeatureAugmenter, mask_on_grid, prototype
from napari_vrp_sam.models.prompt_generator import PromptGenerator


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
    """

    def __init__(
        self,
        in_channels: int,
        dim: int = 256,
        *,
        queries: int = 50,
        heads: int = 4,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.augmenter = FeatureAugmenter(in_channels, dim, dropout=dropout)
        self.generator = PromptGenerator(dim, queries, heads)
        self.config = {
            "in_channels": in_channels,
            "dim": dim,
            "queries": queries,
            "heads": heads,
        }

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, *, source: str) -> VRPEncoder:
        """Build the encoder that a checkpoint holds, in our names or in the authors'.

        Parameters
        ----------
        checkpoint : Checkpoint
            Sizes follow from its tensors; `heads` from its metadata, else 4.
        source : str
            Named in the error.

        Raises
        ------
        InputError
            If it holds no VRP encoder, or only a part of one.
        """
        ours = "augmenter.reduction.0.weight" in checkpoint.tensors
        tensors = checkpoint.tensors if ours else from_authors(checkpoint.tensors)
        try:
            dim, in_channels = tensors["augmenter.reduction.0.weight"].shape[:2]
            queries = len(tensors["generator.queries"])
        except KeyError as error:
            raise InputError(f"{source} holds no VRP encoder.") from error
        heads = int(checkpoint.metadata.get("heads", 4))
        encoder = cls(in_channels, dim, queries=queries, heads=heads)
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
        return ReferenceEncoding(mean, self.generator.attend_reference(enhanced))

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
        enhanced = self.enhanced_target(references, target_features, pseudo_mask)
        return self.generator.attend_target(references.queries, enhanced)

    def enhanced_target(
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
