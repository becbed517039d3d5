"""Packages in the format of the BioImage Model Zoo (bioimage.io), which other programs run."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import napari_vrp_sam
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.exports.contact_sheet import as_picture, overlay
from napari_vrp_sam.models.zoo.registry import ModelSpec, model_spec

SIDE = 128
"""Pixels a side of the test images."""

PERCENTILES = (0.5, 99.5)
"""Of the reference; they become 0 and 1 in both images, as within a stack."""

HALF = 0.5
"""Probability from which a pixel belongs to the class."""

README = """# {name}

{description}

Annotate a class on one image (the *reference*), get its probability on another (the *target*).

- `target`, `reference`: 3 channels; repeat a gray image three times. Intensities may be of any
  range: the package's preprocessing maps the {low} and {high} percentiles of the reference to 0
  and 1 in both.
- `mask`: 1 on every pixel of the class in the reference, 0 elsewhere.
- `probability`: of the class, for every pixel of the target; the class is where it is over 0.5.

The architecture is Python code of [napari-vrp-sam](https://pypi.org/project/napari-vrp-sam):
install it beside what runs this package, `python -m pip install 'napari-vrp-sam>={version}'`.
The model fits a small classifier to each reference, so it takes a few seconds an image.

## Validation

{metrics}

The images of this package are generated and serve to test it, not to judge the model.

## Card

{card}
"""


def export_package(name: str, path: str | os.PathLike[str]) -> Path:
    """Write a model as a package for the BioImage Model Zoo.

    The package holds weights as a PyTorch state dict, a test image with its reference, mask and
    result, documentation and a cover; its architecture is `ReferencePrompted`.

    Parameters
    ----------
    name : str
        `lite`, or one of the user's own models that is made from it.
    path : path-like
        The `.zip` file to write; one that is there is replaced.

    Returns
    -------
    Path
        The package.

    Raises
    ------
    InputError
        If there is no such model, it is a full-size one, `bioimageio.core` is not installed, or
        nothing can be written.
    """
    spec = model_spec(name)
    if spec.sam_weights is not None:
        raise InputError(
            f"'{name}' is made from {spec.image_encoder}: only 'lite' and models made from it can "
            "be packaged, export this one as .safetensors."
        )
    target = Path(path)
    if target.suffix != ".zip":
        raise InputError(f"Packages are written as .zip, not as '{target.name}'.")
    try:
        from bioimageio.spec import ValidationContext, save_bioimageio_package

        from napari_vrp_sam.research.model_zoo.description import describe
    except ModuleNotFoundError as error:
        raise InputError(
            "Packages are written by bioimageio: pip install 'napari-vrp-sam[bioimageio]'."
        ) from error
    # The library leaves files open, which Windows does not let go of at once.
    scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with scratch as folder, atomic(target) as temporary:
        sizes = _write_files(Path(folder), spec)
        # Checks of addresses would need the network.
        with ValidationContext(perform_io_checks=False, log_warnings=False):
            package = describe(Path(folder), spec, sizes, PERCENTILES)
            save_bioimageio_package(package, output_path=temporary)
    return target


def _write_files(folder: Path, spec: ModelSpec) -> dict[str, int]:
    """Weights, test arrays, cover and documentation; the network's sizes."""
    import torch

    from napari_vrp_sam.models.zoo.registry import load_model
    from napari_vrp_sam.research.model_zoo.network import ReferencePrompted

    model: Any = load_model(spec.name)
    sizes = {key: int(value) for key, value in model.network.config.as_metadata().items()}
    network = ReferencePrompted(**sizes)
    network.network.load_state_dict(model.network.state_dict())
    torch.save(network.state_dict(), folder / "weights.pt")

    images, mask = _example()
    low, high = np.percentile(images[0], PERCENTILES)
    scaled = ((images - low) / (high - low + 1e-6)).clip(0, 1).astype(np.float32)
    rgb = np.repeat(scaled[:, None, None], 3, axis=2)
    probability = network(
        torch.from_numpy(rgb[1]), torch.from_numpy(rgb[0]), torch.from_numpy(mask[None, None])
    ).numpy()
    raw = np.repeat(images[:, None, None], 3, axis=2)
    np.save(folder / "reference.npy", raw[0])
    np.save(folder / "target.npy", raw[1])
    np.save(folder / "mask.npy", mask[None, None])
    np.save(folder / "probability.npy", probability)

    halves = [
        overlay(as_picture(255 * image), labels > HALF)
        for image, labels in zip(scaled, (mask, probability[0, 0]), strict=True)
    ]
    Image.fromarray(np.hstack(halves)).save(folder / "cover.png")
    (folder / "README.md").write_text(_readme(spec), "utf-8")
    return sizes


def _readme(spec: ModelSpec) -> str:
    card = spec.metadata()
    metrics = card.pop("metrics", "Not measured.")
    return README.format(
        name=spec.name,
        description=spec.description,
        low=PERCENTILES[0],
        high=PERCENTILES[1],
        version=napari_vrp_sam.__version__,
        metrics=_lines(metrics),
        card="\n".join(f"- {key}: {value}" for key, value in sorted(card.items())),
    )


def _lines(value: str) -> str:
    """JSON of a card as a list, or the text that it is."""
    try:
        entries = json.loads(value)
    except ValueError:
        return value
    if not isinstance(entries, dict):
        return value
    return "\n".join(f"- {key.replace('_', ' ')}: {entry}" for key, entry in entries.items())


def _example() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Reference and target, and the mask of the reference."""
    from napari_vrp_sam.io.samples import sample_stack

    stack, truth = sample_stack(size=SIDE, frames=4)
    return stack[[1, 3]].astype(np.float32), (truth[1] == 1).astype(np.float32)
