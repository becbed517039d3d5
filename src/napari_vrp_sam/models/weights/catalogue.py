"""Catalogue of the built-in models and the sources of their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.downloads import DownloadProgress, WeightsFile, fetch
from napari_vrp_sam.models.weights.headers import read_header

VRP_ENCODER_KIND = "vrp-encoder"
LITE_KIND = "lite"
"""Values of `kind` in the metadata of weights files."""

DENSE_HEAD_PREFIX, MASK_DECODER_PREFIX = "dense.", "mask_decoder."
"""Name prefixes of the tensors that fine-tuning adds to a file."""

VRP_ENCODER_SUFFIXES = ("augmenter.merge.0.weight", "supp_q_feat.weight")
"""Name suffixes of a tensor that every VRP encoder has: ours and the original code's."""

TIMM = "https://github.com/rwightman"

SEMANTIC_WEIGHTS: dict[str, WeightsFile] = {
    "resnet50": WeightsFile(
        f"{TIMM}/pytorch-pretrained-gluonresnet/releases/download/v0.1/"
        "gluon_resnet50_v1s-1762acc0.pth",
        sha256="1762acc0",
        licence="Apache-2.0",
        title="ResNet-50",
    ),
    "vgg16": WeightsFile(
        "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth",
        sha256="6c64b313",
        licence="BSD-3-Clause",
        size=553_507_836,
        title="VGG-16",
    ),
    "dinov2_b14": WeightsFile(
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        sha256="0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
        licence="Apache-2.0",
        size=346_378_731,
        title="DINOv2 ViT-B/14",
    ),
    "efficientnet_lite0": WeightsFile(
        f"{TIMM}/pytorch-image-models/releases/download/v0.1-weights/"
        "tf_efficientnet_lite0-0aa007d2.pth",
        sha256="0aa007d2",
        licence="Apache-2.0",
        title="EfficientNet-Lite0",
    ),
}
"""ImageNet or self-supervised weights of the semantic encoders."""


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
        Default semantic encoder, a key of `SEMANTIC_WEIGHTS`.
    licence : str
        SPDX identifier of the licence of the weights.
    sam_weights : WeightsFile, optional
        SAM's weights, for a full-size model.
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
    sam_weights: WeightsFile | None = None
    packaged_weights: str = ""
    user_weights: Path | None = None

    @property
    def downloads(self) -> tuple[WeightsFile, ...]:
        """Files that the model downloads when it is first loaded."""
        if self.sam_weights is None:
            return ()
        return self.sam_weights, SEMANTIC_WEIGHTS[self.semantic_encoder]

    @property
    def ready(self) -> bool:
        """True if the model loads without a download."""
        return all(file.downloaded for file in self.downloads)

    def metadata(self) -> dict[str, str]:
        """Return the metadata of the weights: training data, settings, measurements."""
        if self.user_weights is None and not self.packaged_weights:
            return {}
        with self.local_weights() as path:
            return dict(read_header(path).metadata)

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


def _full_size(name: str, description: str, fragment: str, sha256: str, size: int) -> ModelSpec:
    base = "https://dl.fbaipublicfiles.com/segment_anything"
    title = f"SAM ViT-{name[-1].upper()}"
    file = f"{base}/sam_{name}_{fragment}.pth"
    weights = WeightsFile(file, sha256, "Apache-2.0", size, title)
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
)


def find_published(path: Path) -> WeightsFile | None:
    """Return the published weights file that a file is a copy of, identified by its digest."""
    published = [spec.sam_weights for spec in BUILT_IN if spec.sam_weights is not None]
    published += SEMANTIC_WEIGHTS.values()
    return next((weights for weights in published if weights.matches(path)), None)


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
    raise InputError(f"{path} holds an unknown kind of model, '{kind}': update napari-vrp-sam.")
