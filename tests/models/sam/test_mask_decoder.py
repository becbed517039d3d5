"""Batched decoding against SAM's own decoder."""

from __future__ import annotations

import torch
from segment_anything.modeling import Sam

from napari_vrp_sam.models.sam.mask_decoder import decode_masks


def prompts_of(sam: Sam, batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    dim, grid = sam.prompt_encoder.embed_dim, sam.prompt_encoder.image_embedding_size
    return (
        torch.randn(batch, dim, *grid),
        torch.randn(batch, 9, dim),
        torch.randn(batch, dim, *grid),
    )


@torch.inference_mode()
def test_batch_of_images_equals_sam_image_by_image(tiny_sam: Sam) -> None:
    embeddings, sparse, dense = prompts_of(tiny_sam, batch=3)
    position = tiny_sam.prompt_encoder.get_dense_pe()

    batched = decode_masks(tiny_sam.mask_decoder, embeddings, position, sparse, dense)

    for i in range(3):
        one, _ = tiny_sam.mask_decoder(
            image_embeddings=embeddings[i : i + 1],
            image_pe=position,
            sparse_prompt_embeddings=sparse[i : i + 1],
            dense_prompt_embeddings=dense[i : i + 1],
            multimask_output=False,
        )
        torch.testing.assert_close(batched[i : i + 1], one, rtol=1e-4, atol=1e-5)
    assert batched.std() > 1e-3


@torch.inference_mode()
def test_classes_of_one_image_equal_sam_class_by_class(tiny_sam: Sam) -> None:
    embeddings, sparse, dense = prompts_of(tiny_sam, batch=4)
    position = tiny_sam.prompt_encoder.get_dense_pe()

    batched = decode_masks(tiny_sam.mask_decoder, embeddings[:1], position, sparse, dense)

    for i in range(4):
        one, _ = tiny_sam.mask_decoder(
            embeddings[:1], position, sparse[i : i + 1], dense[i : i + 1], multimask_output=False
        )
        torch.testing.assert_close(batched[i : i + 1], one, rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_prompts(tiny_sam: Sam) -> None:
    embeddings, sparse, dense = prompts_of(tiny_sam, batch=2)
    sparse.requires_grad_()
    position = tiny_sam.prompt_encoder.get_dense_pe()
    decode_masks(tiny_sam.mask_decoder, embeddings, position, sparse, dense).sum().backward()
    assert sparse.grad is not None
    assert (sparse.grad.abs().sum(dim=(1, 2)) > 0).all()
