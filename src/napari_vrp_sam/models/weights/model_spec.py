"""Entry of a model in the catalogue, and the weights of semantic encoders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from napari_vrp_sam.models.weights.downloads import DownloadProgress, PublishedFile, fetch
from napari_vrp_sam.models.weights.headers import read_header

TIMM = "https://github.com/rwightman"

SEMANTIC_WEIGHTS: dict[str, PublishedFile] = {
    "resnet50": PublishedFile(
        f"{TIMM}/pytorch-pretrained-gluonresnet/releases/download/v0.1/"
        "gluon_resnet50_v1s-1762acc0.pth",
        digest="1762acc0",
        licence="Apache-2.0",
        title="ResNet-50",
    ),
    "vgg16": PublishedFile(
        "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth",
        digest="6c64b313",
        licence="BSD-3-Clause",
        size=553_507_836,
        title="VGG-16",
    ),
    "dinov2_b14": PublishedFile(
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        digest="0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
        licence="Apache-2.0",
        size=346_378_731,
        title="DINOv2 ViT-B/14",
    ),
    "efficientnet_lite0": PublishedFile(
        f"{TIMM}/pytorch-image-models/releases/download/v0.1-weights/"
        "tf_efficientnet_lite0-0aa007d2.pth",
        digest="0aa007d2",
        licence="Apache-2.0",
        title="EfficientNet-Lite0",
    ),
}
"""ImageNet or self-supervised weights of the semantic encoders."""


PACKAGED = "lite"
"""Semantic encoder that is the backbone of `lite`, for which nothing is downloaded."""


@dataclass(frozen=True)
class ModelSpec:
    """Entry of a model in the catalogue.

    Attributes
    ----------
    name : str
    description : str
        One line for lists and tooltips.
    image_encoder : str
        Variant of SAM, or the backbone that replaces it.
    semantic_encoder : str
        Default semantic encoder, a key of `SEMANTIC_WEIGHTS`, or `PACKAGED`; empty for a probe
        model.
    licence : str
        SPDX identifier or name of the licence of the weights.
    sam_weights : PublishedFile, optional
        SAM's weights, for a full-size model.
    backbone_weights : PublishedFile, optional
        Weights of the network of timm that a probe model uses.
    citation : str
        Publication to cite, for weights from elsewhere.
    packaged_weights : str
        Path of the weights inside the package, for a model that ships with it.
    user_weights : Path, optional
        File of a user model; the other fields are those of its base model.
    """

    name: str
    description: str
    image_encoder: str
    semantic_encoder: str
    licence: str
    sam_weights: PublishedFile | None = None
    backbone_weights: PublishedFile | None = None
    citation: str = ""
    packaged_weights: str = ""
    user_weights: Path | None = None

    @property
    def downloads(self) -> tuple[PublishedFile, ...]:
        """Files that the model downloads when it is first loaded."""
        if self.backbone_weights is not None:
            return (self.backbone_weights,)
        if self.sam_weights is None:
            return ()
        semantic = SEMANTIC_WEIGHTS.get(self.semantic_encoder)
        return (self.sam_weights,) if semantic is None else (self.sam_weights, semantic)

    @property
    def ready(self) -> bool:
        """True if the model loads without a download."""
        return all(file.downloaded for file in self.downloads)

    def metadata(self) -> dict[str, str]:
        """Return the metadata of the weights: training data, settings, measurements."""
        if self.user_weights is None and not self.packaged_weights:
            return {}
        with self.local_weights() as path:
            return dict(read_header(path).metadata) if path.suffix == ".safetensors" else {}

    @contextmanager
    def local_weights(self) -> Iterator[Path]:
        """Give access to the weights file of a user model or a packaged model."""
        if self.user_weights is not None:
            yield self.user_weights
            return
        with resources.as_file(resources.files("napari_vrp_sam") / self.packaged_weights) as path:
            yield path

    def download(self, *, progress: DownloadProgress | None = None) -> list[Path]:
        """Download all files that the model needs; see `fetch`."""
        return [fetch(file, progress=progress) for file in self.downloads]
