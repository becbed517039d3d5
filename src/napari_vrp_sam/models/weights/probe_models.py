"""Models without SAM: a frozen network of timm and a probe."""

from __future__ import annotations

from napari_vrp_sam.models.weights.hub import HubFile
from napari_vrp_sam.models.weights.model_spec import ModelSpec

DINOV3_LICENCE = "DINOv3 License"


def timm_model(
    name: str, network: str, licence: str, description: str, size: int | None = None
) -> ModelSpec:
    """Return the entry of a probe model on a network of timm."""
    weights = HubFile.of(f"timm/{network}", licence, name, size)
    return ModelSpec(name, description, network, "", licence, backbone_weights=weights)


PROBE_MODELS: tuple[ModelSpec, ...] = (
    timm_model(
        "dinov2_s",
        "vit_small_patch14_reg4_dinov2.lvd142m",
        "Apache-2.0",
        "Probe on DINOv2 ViT-S features: most kinds of images; a GPU is recommended.",
        88_000_000,
    ),
    timm_model(
        "dinov2_b",
        "vit_base_patch14_reg4_dinov2.lvd142m",
        "Apache-2.0",
        "Probe on DINOv2 ViT-B features; a GPU is recommended.",
        346_000_000,
    ),
    timm_model(
        "dinov3_s",
        "vit_small_patch16_dinov3.lvd1689m",
        DINOV3_LICENCE,
        "Probe on DINOv3 ViT-S features; a GPU is recommended.",
        86_000_000,
    ),
    timm_model(
        "dinov3_b",
        "vit_base_patch16_dinov3.lvd1689m",
        DINOV3_LICENCE,
        "Probe on DINOv3 ViT-B features; a GPU is recommended.",
        343_000_000,
    ),
    timm_model(
        "dinov3_convnext_t",
        "convnext_tiny.dinov3_lvd1689m",
        DINOV3_LICENCE,
        "Probe on DINOv3 ConvNeXt-T features, quick on a CPU.",
        111_000_000,
    ),
    timm_model(
        "dinov3_l_satellite",
        "vit_large_patch16_dinov3.sat493m",
        DINOV3_LICENCE,
        "Probe on DINOv3 ViT-L features of satellite images, for aerial scenes; needs a GPU.",
        1_213_000_000,
    ),
)
