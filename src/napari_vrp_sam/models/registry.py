"""The models by name: what each is made of, where its weights come from, how to load it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.downloads import WeightsFile, fetch

# torch is imported where a model is loaded: listing models needs none of it.
if TYPE_CHECKING:
    import torch

    from napari_vrp_sam.models.checkpoints import Checkpoint
    from napari_vrp_sam.models.pseudo_mask import PseudoMaskKind
    from napari_vrp_sam.models.types import Model

RANDOM = "random"
"""As `weights`: the architecture without any training, to measure speed."""

VRP_ENCODER_KIND = "vrp-encoder"
LITE_KIND = "lite"
"""Values of `kind` in the metadata of weights files."""

SUFFIXES = (".safetensors", ".pth", ".pt")

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
    """

    name: str
    description: str
    image_encoder: str
    semantic_encoder: str
    licence: str
    sam_weights: WeightsFile | None = None
    packaged_weights: str = ""

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
        """What the header of packaged weights tells: training data, settings, measurements."""
        return dict(self.packaged().metadata) if self.packaged_weights else {}

    def packaged(self) -> Checkpoint:
        """The weights that ship with the package."""
        from napari_vrp_sam.models.checkpoints import read_checkpoint

        with resources.as_file(resources.files("napari_vrp_sam") / self.packaged_weights) as path:
            return read_checkpoint(path)

    def download(self, *, progress: bool = False) -> list[Path]:
        """Fetch all files that the model needs; see `fetch`."""
        return [fetch(file, progress=progress) for file in self.downloads]


def _full_size(
    name: str, description: str, fragment: str, sha256: str, size: int, semantic: str = "resnet50"
) -> ModelSpec:
    base = "https://dl.fbaipublicfiles.com/segment_anything"
    weights = WeightsFile(f"{base}/sam_{name}_{fragment}.pth", sha256, "Apache-2.0", size)
    return ModelSpec(name, description, name, semantic, weights.licence, sam_weights=weights)


_SPECS = (
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


def list_models() -> tuple[ModelSpec, ...]:
    """All models that `load_model` knows by name, the default first."""
    return _SPECS


def model_spec(name: str) -> ModelSpec:
    """The model of a name.

    Raises
    ------
    InputError
        If there is none.
    """
    for spec in _SPECS:
        if spec.name == name:
            return spec
    names = ", ".join(spec.name for spec in _SPECS)
    raise InputError(
        f"There is no model '{name}': choose one of {names}, or give the path of a weights file."
    )


def load_model(
    name_or_path: str | os.PathLike[str] = "lite",
    *,
    device: str | torch.device = "cpu",
    pseudo_mask: PseudoMaskKind = "probe",
    weights: str | os.PathLike[str] | None = None,
    semantic_encoder: str | None = None,
) -> Model:
    """Load a model, ready to run.

    Parameters
    ----------
    name_or_path : str or path-like, default "lite"
        A name of `list_models`, or the path of a weights file (`.safetensors`, or `.pth` of the
        paper's code).
    device : str or torch.device, default "cpu"
        "cpu", "cuda", "mps" or "auto".
    pseudo_mask : {"probe", "correlation"}
        How the target's pseudo-mask is made: by a classifier fitted on the references, or by the
        paper's training-free correlation. A VRP encoder of the paper's code was trained with the
        correlation.
    weights : str or path-like, optional
        For `lite` another weights file, for full-size models that of a VRP encoder, without which
        they use points and a box (GP-SAM); "random" leaves everything untrained.
    semantic_encoder : str, optional
        For full-size models another semantic encoder than the default.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        If the name, file, device or pseudo-mask does not exist or fit, or a download fails.
    """
    from napari_vrp_sam.models.devices import resolve_device

    where = resolve_device(device)
    name = os.fspath(name_or_path)
    if _looks_like_a_path(name):
        if weights is not None:
            raise InputError("Give either the path of a model or `weights`, not both.")
        name, weights = _name_for(Path(name)), name
    spec = model_spec(name)
    model: Any
    if spec.sam_weights is None:
        if semantic_encoder not in {None, spec.semantic_encoder}:
            raise InputError(f"The semantic encoder of '{name}' is a part of it: leave it out.")
        model = _load_lite(spec, weights, pseudo_mask)
    else:
        model = _load_full_size(spec, weights, semantic_encoder, pseudo_mask)
    loaded: Model = model.to(where).eval()
    return loaded


def _looks_like_a_path(name: str) -> bool:
    return name.endswith(SUFFIXES) or Path(name).is_file() or len(Path(name).parts) > 1


def _name_for(path: Path) -> str:
    """The model that a weights file belongs to."""
    from napari_vrp_sam.models.checkpoints import read_checkpoint

    metadata = read_checkpoint(path).metadata
    # The paper's code writes no metadata; its image encoder is ViT-H.
    kind = metadata.get("kind", VRP_ENCODER_KIND)
    if kind == VRP_ENCODER_KIND:
        return metadata.get("sam", "vit_h")
    if kind == LITE_KIND:
        return "lite"
    raise InputError(f"{path} holds a '{kind}', which is no model that can be loaded here.")


def _load_lite(
    spec: ModelSpec, weights: str | os.PathLike[str] | None, pseudo_mask: PseudoMaskKind
) -> Any:
    from napari_vrp_sam.models.checkpoints import read_checkpoint
    from napari_vrp_sam.models.lite import LiteModel

    if weights == RANDOM:
        return LiteModel(pseudo_mask=pseudo_mask)
    if weights is not None:
        checkpoint = read_checkpoint(weights)
        if checkpoint.metadata.get("kind", LITE_KIND) != LITE_KIND:
            raise InputError(f"{os.fspath(weights)} does not hold weights of '{spec.name}'.")
    else:
        checkpoint = spec.packaged()
    return LiteModel.from_checkpoint(checkpoint, pseudo_mask=pseudo_mask)


def _load_full_size(
    spec: ModelSpec,
    weights: str | os.PathLike[str] | None,
    semantic_encoder: str | None,
    pseudo_mask: PseudoMaskKind,
) -> Any:
    from napari_vrp_sam.models.checkpoints import load_tensors, read_checkpoint
    from napari_vrp_sam.models.full_size_file import tune_sam, vrp_encoder_of
    from napari_vrp_sam.models.sam import FullSizeModel, build_sam
    from napari_vrp_sam.models.semantic import build_semantic_encoder
    from napari_vrp_sam.models.vrp_encoder import VRPEncoder

    vrp_encoder = checkpoint = None
    if weights is not None and weights != RANDOM:
        checkpoint = read_checkpoint(weights)
        vrp_encoder = vrp_encoder_of(checkpoint, source=os.fspath(weights))
        trained_with = checkpoint.metadata.get("sam", spec.name)
        if trained_with != spec.name:
            raise InputError(f"{os.fspath(weights)} was trained with '{trained_with}': load that.")
        semantic_encoder = semantic_encoder or _semantic_encoder_of(
            checkpoint, vrp_encoder.config["in_channels"] if vrp_encoder else 0
        )
    semantic = build_semantic_encoder(semantic_encoder or spec.semantic_encoder)
    sam = build_sam(spec.image_encoder)
    if weights == RANDOM:
        vrp_encoder = VRPEncoder(sum(semantic.channels[:2]), sam.prompt_encoder.embed_dim)
    else:
        semantic.load(fetch(SEMANTIC_WEIGHTS[semantic_encoder or spec.semantic_encoder]))
        assert spec.sam_weights is not None
        path = fetch(spec.sam_weights)
        load_tensors(sam, read_checkpoint(path).tensors, source=str(path))
    model = FullSizeModel(spec.name, sam, semantic, vrp_encoder, pseudo_mask=pseudo_mask)
    if checkpoint is not None:
        model.additions = tune_sam(sam, checkpoint, source=os.fspath(weights or ""))
    return model


def _semantic_encoder_of(checkpoint: Checkpoint, in_channels: int) -> str:
    """The semantic encoder that a VRP encoder was trained with."""
    # The paper's code leaves no name, but its ResNet-50 and VGG-16 differ in width.
    by_width: Mapping[int, str] = {768: "vgg16"}
    return checkpoint.metadata.get("semantic_encoder", by_width.get(in_channels, "resnet50"))
