"""What models are made of, and where the weights of the built-in ones come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.downloads import DownloadProgress, WeightsFile, fetch
from napari_vrp_sam.models.weights.headers import read_header

# torch is imported where a model is loaded: listing models needs none of it.
if TYPE_CHECKING:
    from napari_vrp_sam.models.weights.checkpoints import Checkpoint

VRP_ENCODER_KIND = "vrp-encoder"
LITE_KIND = "lite"
"""Values of `kind` in the metadata of weights files."""

HEAD_PREFIX, MASK_DECODER_PREFIX = "dense.", "mask_decoder."
"""Beginnings of the names of tensors that fine-tuning adds to a file."""

VRP_ENCODER_ENDS = ("augmenter.merge.0.weight", "supp_q_feat.weight")
"""Ends of the names of a tensor that every VRP encoder has, ours and that of the paper's code."""

TIMM = "https://github.com/rwightman"

SEMANTIC_WEIGHTS: dict[str, WeightsFile] = {
    "resnet50": WeightsFile(
        f"{TIMM}/pytorch-pretrained-gluonresnet/releases/download/v0.1/"
        "gluon_resnet50_v1s-1762acc0.pth",
        sha256="1762acc0",
        licence="Apache-2.0",
    ),
    "vgg16": WeightsFile(
        "https://download.pytorch.org/models/vgg16_bn-6c64b313.pth",
        sha256="6c64b313",
        licence="BSD-3-Clause",
        size=553_507_836,
    ),
    "dinov2_b14": WeightsFile(
        "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth",
        sha256="0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
        licence="Apache-2.0",
        size=346_378_731,
    ),
    "efficientnet_lite0": WeightsFile(
        f"{TIMM}/pytorch-image-models/releases/download/v0.1-weights/"
        "tf_efficientnet_lite0-0aa007d2.pth",
        sha256="0aa007d2",
        licence="Apache-2.0",
    ),
}
"""ImageNet or self-supervised weights of the semantic encoders."""


@dataclass(frozen=True)
class ModelSpec:
    """A model by name.

    Attributes
    ----------
    name : str
    description : str
        One line for lists and tooltips.
    image_encoder : str
        Variant of SAM, or the backbone that stands for it.
    semantic_encoder : str
        The default one; a key of `SEMANTIC_WEIGHTS`.
    licence : str
        SPDX identifier of the model's weights.
    sam_weights : WeightsFile, optional
        Of a full-size model.
    packaged_weights : str
        Path inside the package, of a model that ships with it; else empty.
    own_weights : Path, optional
        File of one of the user's own models; the other fields are those of what it is based on.
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
        """Files that are fetched when the model is first loaded."""
        if self.sam_weights is None:
            return ()
        return self.sam_weights, SEMANTIC_WEIGHTS[self.semantic_encoder]

    @property
    def ready(self) -> bool:
        """Whether the model loads without a download."""
        return all(file.downloaded for file in self.downloads)

    def metadata(self) -> dict[str, str]:
        """What the header of its weights tells: training data, settings, measurements."""
        if self.user_weights is not None:
            return dict(read_header(self.user_weights).metadata)
        return dict(self.packaged().metadata) if self.packaged_weights else {}

    def packaged(self) -> Checkpoint:
        """The weights that ship with the package."""
        from napari_vrp_sam.models.weights.checkpoints import read_checkpoint

        with resources.as_file(resources.files("napari_vrp_sam") / self.packaged_weights) as path:
            return read_checkpoint(path)

    def download(self, *, progress: DownloadProgress | None = None) -> list[Path]:
        """Fetch all files that the model needs; see `fetch`."""
        return [fetch(file, progress=progress) for file in self.downloads]


def _full_size(
    name: str, description: str, fragment: str, sha256: str, size: int, semantic: str = "resnet50"
) -> ModelSpec:
    base = "https://dl.fbaipublicfiles.com/segment_anything"
    weights = WeightsFile(f"{base}/sam_{name}_{fragment}.pth", sha256, "Apache-2.0", size)
    return ModelSpec(name, description, name, semantic, weights.licence, sam_weights=weights)


BUILT_IN: tuple[ModelSpec, ...] = (
    ModelSpec(
        "lite",
        "Small and quick, runs on a laptop; its weights come with the package.",
        "efficientnet_lite0",
        "efficientnet_lite0",
        "BSD-3-Clause",
        packaged_weights="models/weights/lite.safetensors",
    ),
    _full_size(
        "vit_b",
        "SAM ViT-B, the smallest of the three; a GPU is advised.",
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


def published_as(path: Path) -> WeightsFile | None:
    """Which of the published files that models are made of a file is, known by its digest."""
    published = [spec.sam_weights for spec in BUILT_IN if spec.sam_weights is not None]
    published += SEMANTIC_WEIGHTS.values()
    return next((weights for weights in published if weights.describes(path)), None)


def base_of(metadata: Mapping[str, str], path: Path) -> str:
    """Name of the built-in model that a weights file is a variant of.

    Parameters
    ----------
    metadata : mapping of str to str
        Of the file's header.
    path : Path
        Named in the error.

    Raises
    ------
    InputError
        If it is of no kind that can be loaded.
    """
    # The paper's code writes no metadata; its image encoder is ViT-H.
    kind = metadata.get("kind", VRP_ENCODER_KIND)
    if kind == VRP_ENCODER_KIND:
        return metadata.get("sam", "vit_h")
    if kind == LITE_KIND:
        return "lite"
    raise InputError(f"{path} holds a '{kind}', which is no model that can be loaded here.")
