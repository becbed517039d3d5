"""Description of models for users: purpose, size, licence and state; and their removal."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.models.weights.downloads import PublishedFile, cache_folder
from napari_vrp_sam.models.weights.hub import HubFile
from napari_vrp_sam.models.weights.model_spec import ModelSpec
from napari_vrp_sam.models.zoo.registry import list_models

SpeedClass = Literal["CPU", "GPU"]

CPU_BYTES = 150_000_000
"""Largest download of a convolutional model that is quick enough on a CPU. Transformers of any size
are slow: they compare all patches of an enlarged frame with each other."""

HISTOLOGY, SATELLITE, MICROSCOPY = "vit_b_histopathology", "dinov3_l_satellite", "vit_b_lm"


@dataclass(frozen=True)
class ModelEntry:
    """A model as a gallery shows it.

    Attributes
    ----------
    name : str
    description : str
        One line.
    size : str
        Size of all its files in words.
    licence : str
    agreement : str
        Address where the licence has to be accepted before the download; empty if it has not.
    citation : str
        Publication to cite; empty for models of the package.
    speed : {"CPU", "GPU"}
        "GPU": a frame takes long without one.
    state : {"packaged", "user", "downloaded", "partial", "missing"}
        "partial": a download was interrupted and can be resumed.
    """

    name: str
    description: str
    size: str
    licence: str
    agreement: str
    citation: str
    speed: SpeedClass
    state: Literal["packaged", "user", "downloaded", "partial", "missing"]

    @classmethod
    def of(cls, spec: ModelSpec) -> ModelEntry:
        """Describe a model of the catalogue or a user model."""
        size = sum(file.size or _known_size(spec, file) for file in spec.downloads)
        return cls(
            spec.name,
            spec.description,
            f"{size / 1e6:,.0f} MB" if size else "",
            spec.licence,
            _agreement(spec),
            spec.citation,
            "GPU" if size > CPU_BYTES or spec.image_encoder.startswith("vit_") else "CPU",
            _state(spec),
        )

    @property
    def state_text(self) -> str:
        """State in words."""
        return {
            "packaged": "in the package",
            "user": "user model",
            "downloaded": "downloaded",
            "partial": f"partly downloaded ({self.size})",
            "missing": f"not downloaded ({self.size or 'unknown size'})",
        }[self.state]


def suggest_models(*, rgb: bool = False, channels: int = 1, on_map: bool = False) -> str:
    """Suggest models for an image, in one sentence, from what the image says of itself.

    Parameters
    ----------
    rgb : bool
        Whether the image has colours.
    channels : int
        Number of channels.
    on_map : bool
        Whether it has a place on a map, as a GeoTIFF.
    """
    if on_map:
        return f"For scenes on a map: {SATELLITE}, or dinov3_convnext_t without a GPU."
    if rgb:
        return f"For colour images: dinov2_s; for histology {HISTOLOGY}."
    if channels == 1:
        return f"For one channel: dinov2_s; for cells in light microscopy {MICROSCOPY}."
    return "For several channels: dinov2_s, which learns from all of them."


def remove_downloads(spec: ModelSpec) -> list[Path]:
    """Delete the downloaded files of a model, except for those that other models need too.

    Returns
    -------
    list of Path
        The deleted files and folders.

    Raises
    ------
    InputError
        If nothing is downloaded, or the files are not in the cache folder of this package.
    """
    others = [other for other in list_models() if other.name != spec.name and other.ready]
    shared = {file.url for other in others for file in other.downloads}
    removed = []
    for file in spec.downloads:
        if file.url in shared:
            continue
        for path in _paths(file):
            if cache_folder().resolve() not in path.resolve().parents:
                raise InputError(
                    f"{path} belongs to another program: remove it there, or delete it yourself."
                )
            try:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            except OSError as error:
                raise InputError(f"{path} cannot be deleted: {error.strerror or error}.") from error
            removed.append(path)
    if not removed:
        raise InputError(f"There is no download of '{spec.name}' to remove.")
    return removed


def _paths(file: PublishedFile) -> list[Path]:
    """Return the files of a download that exist, complete or not."""
    if isinstance(file, HubFile):
        found = file.find()
        # Beside the file, the folder of a repository holds its other versions and partial files.
        folder = found.parents[2] if found else file.path
        return [folder] if folder.is_dir() else []
    found = file.find()
    candidates = ([found] if found else []) + [file.path, file.partial]
    return [path for path in dict.fromkeys(candidates) if path.is_file()]


def _known_size(spec: ModelSpec, file: PublishedFile) -> int:
    """Return the size of SAM's architecture for a fine-tuned SAM, whose size is not listed."""
    if file is not spec.sam_weights:
        return 0
    same = (s.sam_weights for s in list_models() if s.name == spec.image_encoder)
    return next((weights.size or 0 for weights in same if weights is not None), 0)


def _agreement(spec: ModelSpec) -> str:
    gated = spec.backbone_weights
    if isinstance(gated, HubFile) and spec.licence.startswith("DINOv3"):
        return gated.url.partition("/resolve/")[0]
    return ""


def _state(
    spec: ModelSpec,
) -> Literal["packaged", "user", "downloaded", "partial", "missing"]:
    if not spec.downloads:
        return "user" if spec.user_weights else "packaged"
    if spec.ready:
        return "downloaded"
    return "partial" if any(_paths(file) for file in spec.downloads) else "missing"
