"""Writer of packages for the BioImage Model Zoo (bioimage.io)."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import napari_vrp_sam
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.exports.contact_sheet import overlay, to_rgb
from napari_vrp_sam.models.weights.model_spec import ModelSpec
from napari_vrp_sam.models.zoo.registry import model_spec

SIDE = 128
"""Side of the test images in pixels."""

PERCENTILES = (0.5, 99.5)
"""Percentiles of the reference that are mapped to 0 and 1 in both images."""

README = """# {name}

{description}

Annotate a class on one image (the *reference*) to get its probability on another (the *target*).

- `target`, `reference`: 3 channels; repeat a gray image three times. Intensities may have any
  range: preprocessing maps the {low} and {high} percentiles of the reference to 0 and 1 in both.
- `mask`: 1 on every pixel of the class in the reference, 0 elsewhere.
- `probability`: probability of the class for every pixel of the target; threshold it at 0.5.

The architecture is Python code of [napari-vrp-sam](https://pypi.org/project/napari-vrp-sam):
install it in the environment that runs this package with
`python -m pip install 'napari-vrp-sam>={version}'`.
The model fits a small classifier to each reference, which takes a few seconds per image.

## Validation

{metrics}

The images of this package are synthetic: they test the package but do not show its accuracy.

## Metadata

{card}
"""


def export_package(name: str, path: str | os.PathLike[str]) -> Path:
    """Write a model as a package for the BioImage Model Zoo.

    The package contains weights as a PyTorch state dict, a test image with its reference, mask and
    result, documentation and a cover image; its architecture is `ReferencePrompted`.

    Parameters
    ----------
    name : str
        `lite`, or a user model based on it.
    path : path-like
        The `.zip` file to write; an existing file is replaced.

    Returns
    -------
    Path
        The package.

    Raises
    ------
    InputError
        If the model does not exist or is not based on `lite`, `bioimageio.core` is not installed,
        or the file cannot be written.
    """
    spec = model_spec(name)
    if spec.sam_weights is not None:
        raise InputError(
            f"'{name}' is based on {spec.image_encoder}: export it as .safetensors; only 'lite' "
            "and models based on it can be packaged."
        )
    target = Path(path)
    if target.suffix != ".zip":
        raise InputError(f"Packages are written as .zip, not as '{target.name}'.")
    try:
        from bioimageio.spec import ValidationContext, save_bioimageio_package

        from napari_vrp_sam.research.model_zoo.description import describe
    except ModuleNotFoundError as error:
        raise InputError(
            "Packages need bioimageio: python -m pip install 'napari-vrp-sam[bioimageio]'."
        ) from error
    # The library leaves files open, which cannot be deleted immediately on Windows.
    scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with scratch as folder, atomic(target) as temporary:
        sizes = _write_files(Path(folder), spec)
        # Checks of URLs would need the network.
        with ValidationContext(perform_io_checks=False, log_warnings=False):
            package = describe(Path(folder), spec, sizes, PERCENTILES)
            save_bioimageio_package(package, output_path=temporary)
    return target


def _write_files(folder: Path, spec: ModelSpec) -> dict[str, int]:
    """Write weights, test arrays, cover and documentation; return the sizes of the network."""
    import torch

    from napari_vrp_sam.io.samples import sample_stack
    from napari_vrp_sam.models.zoo.registry import load_model
    from napari_vrp_sam.research.model_zoo.network import ReferencePrompted

    model: Any = load_model(spec.name)
    sizes = {key: int(value) for key, value in model.network.config.as_metadata().items()}
    network = ReferencePrompted(**sizes)
    network.network.load_state_dict(model.network.state_dict())
    torch.save(network.state_dict(), folder / "weights.pt")

    stack, labels = sample_stack(size=SIDE, frames=4)
    images, mask = stack[[1, 3]].astype(np.float32), (labels[1] == 1).astype(np.float32)
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

    panels = [
        overlay(to_rgb(255 * image), values > 0.5)
        for image, values in zip(scaled, (mask, probability[0, 0]), strict=True)
    ]
    Image.fromarray(np.hstack(panels)).save(folder / "cover.png")
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
    """Format a JSON object as a list; return other text unchanged."""
    try:
        entries = json.loads(value)
    except ValueError:
        return value
    if not isinstance(entries, dict):
        return value
    return "\n".join(f"- {key.replace('_', ' ')}: {entry}" for key, entry in entries.items())
