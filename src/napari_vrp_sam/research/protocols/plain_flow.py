"""Unoptimised baseline for speed measurements, which follows the paper's code.

It runs in single precision, one frame at a time, encodes the reference again for every frame, and
encodes targets by `SamPredictor`. Apart from the networks it uses no code of this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from napari_vrp_sam.models.sam.full_size_model import FullSizeModel


class UnoptimisedPipeline:
    """Inference as in the paper's code.

    Parameters
    ----------
    model : FullSizeModel
        Provides SAM, the semantic encoder and the VRP encoder.
    """

    def __init__(self, model: FullSizeModel) -> None:
        from segment_anything import SamPredictor

        assert model.vrp_encoder is not None
        self.semantic, self.vrp_encoder = model.semantic, model.vrp_encoder
        self.side = model.semantic_side
        self.predictor = SamPredictor(model.sam)

    def predict(
        self, frame: NDArray[np.uint8], reference: NDArray[np.uint8], mask: NDArray[Any]
    ) -> NDArray[np.bool_]:
        """Segment a frame, shape (Y, X); parameters are those of `logits`."""
        segmented: NDArray[np.bool_] = self.logits(frame, reference, mask) > 0
        return segmented

    def logits(
        self, frame: NDArray[np.uint8], reference: NDArray[np.uint8], mask: NDArray[Any]
    ) -> NDArray[np.float32]:
        """Compute the mask logits of a frame, shape (Y, X).

        Parameters
        ----------
        frame, reference : ndarray, shape (Y, X, 3), uint8
            Square images.
        mask : ndarray, shape (Y, X)
            Annotation of the reference in 0..1.
        """
        import torch

        with torch.no_grad():
            logits = self._logits(frame, reference, mask)
        array: NDArray[np.float32] = logits[0, 0].cpu().numpy()
        return array

    def _logits(
        self, frame: NDArray[np.uint8], reference: NDArray[np.uint8], mask: NDArray[Any]
    ) -> Tensor:
        import torch

        from napari_vrp_sam.models.vrp.pseudo_mask import correlation
        from napari_vrp_sam.models.vrp.semantic_encoders import concatenate_stages

        sam = self.predictor.model
        annotation = torch.from_numpy(mask.astype(np.float32))[None, None].to(sam.device)
        reference_2, reference_3, _ = self.semantic(self._resized(reference))
        target_2, target_3, target_4 = self.semantic(self._resized(frame))
        grid = reference_3.shape[-2:]
        annotation = torch.nn.functional.interpolate(annotation, grid, mode="nearest")
        reference_4 = self.semantic.stage_4(reference_3 * annotation)
        pseudo_mask = correlation(target_4, reference_4, annotation)
        prompts = self.vrp_encoder(
            concatenate_stages(reference_2, reference_3),
            annotation,
            concatenate_stages(target_2, target_3),
            torch.nn.functional.interpolate(pseudo_mask, grid, mode="bilinear", align_corners=True),
        )
        self.predictor.set_image(frame)
        embedding: Any = self.predictor.get_image_embedding()
        no_mask = sam.prompt_encoder.no_mask_embed.weight[..., None, None]
        low_resolution, _ = sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=prompts,
            dense_prompt_embeddings=no_mask.expand_as(embedding),
            multimask_output=False,
        )
        logits: Tensor = sam.postprocess_masks(
            low_resolution, self.predictor.input_size, self.predictor.original_size
        )
        return logits

    def _resized(self, image: NDArray[np.uint8]) -> Tensor:
        """Resize an image to the input size of the semantic encoder."""
        import torch

        planes = torch.from_numpy(image).to(self.predictor.device).permute(2, 0, 1)[None] / 255
        return torch.nn.functional.interpolate(
            planes, (self.side, self.side), mode="bilinear", antialias=True
        )
