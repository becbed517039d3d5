"""Catalogue of the models that are known by name, and the sources of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.downloads import PublishedFile
from napari_vrp_sam.models.weights.model_spec import SEMANTIC_WEIGHTS, ModelSpec
from napari_vrp_sam.models.weights.probe_models import PROBE_MODELS
from napari_vrp_sam.models.weights.specialised import SPECIALISED

VRP_ENCODER_KIND = "vrp-encoder"
LITE_KIND = "lite"
PROBE_KIND = "probe"
"""Values of `kind` in the metadata of weights files."""

NETWORK_KEY, REPOSITORY_KEY = "network", "repository"
"""Metadata of the weights file of a fine-tuned probe model: timm's name of its backbone, and the
repository of the Hugging Face Hub with the weights of the backbone."""

TIMM_PREFIX = "timm:"
"""Prefix of the names of timm's networks, as in "timm:resnet50.a1_in1k"."""

DENSE_HEAD_PREFIX, MASK_DECODER_PREFIX = "dense.", "mask_decoder."
"""Name prefixes of the tensors that fine-tuning adds to a file."""

VRP_ENCODER_SUFFIXES = ("augmenter.merge.0.weight", "supp_q_feat.weight")
"""Name suffixes of a tensor that every VRP encoder has: ours and the original code's."""


def _full_size(name: str, description: str, fragment: str, sha256: str, size: int) -> ModelSpec:
    base = "https://dl.fbaipublicfiles.com/segment_anything"
    title = f"SAM ViT-{name[-1].upper()}"
    file = f"{base}/sam_{name}_{fragment}.pth"
    weights = PublishedFile(file, sha256, "Apache-2.0", size, title)
    return ModelSpec(name, description, name, "resnet50", weights.licence, sam_weights=weights)


BUILT_IN: tuple[ModelSpec, ...] = (
    ModelSpec(
        "lite",
        "Small and fast, runs on a laptop; its weights are part of the package.",
        "efficientnet_lite0",
        "efficientnet_lite0",
        "BSD-3-Clause",
        packaged_weights="models/weights/lite.safetensors",
    ),
    _full_size(
        "vit_b",
        "SAM ViT-B, the smallest of the three; a GPU is recommended.",
        "01ec64",
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        375_042_383,
    ),
    _full_size(
        "vit_l",
        "SAM ViT-L; needs a GPU.",
        "0b3195",
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        1_249_524_607,
    ),
    _full_size(
        "vit_h",
        "SAM ViT-H, the model of the paper; needs a GPU.",
        "4b8939",
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        2_564_550_879,
    ),
    *PROBE_MODELS,
    *SPECIALISED,
)
"""All models that are known by name: the default first."""


def find_published(path: Path) -> PublishedFile | None:
    """Return the published weights file that a file is a copy of, identified by its digest."""
    published = [spec.sam_weights for spec in BUILT_IN if spec.sam_weights is not None]
    published += SEMANTIC_WEIGHTS.values()
    return next((weights for weights in published if weights.matches(path)), None)


def is_probe_model(name: str) -> bool:
    """Return True for the name of a built-in probe model or of a network of timm."""
    return name.startswith(TIMM_PREFIX) or any(spec.name == name for spec in PROBE_MODELS)


def base_model_name(metadata: Mapping[str, str], path: Path) -> str:
    """Return the name of the built-in model that a weights file is a variant of.

    Parameters
    ----------
    metadata : mapping of str to str
        Metadata of the file.
    path : Path
        Path of the file, for the error message.

    Raises
    ------
    InputError
        If the file belongs to an unknown kind of model.
    """
    # The original VRP-SAM code writes no metadata; its image encoder is ViT-H.
    kind = metadata.get("kind", VRP_ENCODER_KIND)
    if kind == VRP_ENCODER_KIND:
        return metadata.get("sam", "vit_h")
    if kind == LITE_KIND:
        return "lite"
    if kind == PROBE_KIND and NETWORK_KEY in metadata:
        network = metadata[NETWORK_KEY]
        known = (spec.name for spec in PROBE_MODELS if spec.image_encoder == network)
        return next(known, TIMM_PREFIX + network)
    raise InputError(
        f"{path} holds an unknown kind of model, '{kind:.100}': update napari-vrp-sam."
    )
