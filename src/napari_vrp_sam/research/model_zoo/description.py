"""Description of a package for the BioImage Model Zoo, in version 0.5 of its format."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from bioimageio.spec.model import v0_5 as zoo

from napari_vrp_sam.models.weights.model_spec import ModelSpec

SMALLEST, STEP = 64, 32
"""Declared image sizes in pixels; the model itself accepts any size of at least 16."""


def describe(
    folder: Path, spec: ModelSpec, sizes: Mapping[str, int], percentiles: tuple[float, float]
) -> Any:
    """Describe the files of a package.

    Parameters
    ----------
    folder : Path
        Folder with `weights.pt`, `README.md`, `cover.png`, and `target`, `reference`, `mask` and
        `probability` as `.npy`.
    spec : ModelSpec
    sizes : mapping of str to int
        Arguments of `ReferencePrompted`.
    percentiles : tuple of float
        Percentiles of the reference's intensities that are mapped to 0 and 1.
    """
    scaling = [
        zoo.ScaleRangeDescr(
            kwargs=zoo.ScaleRangeKwargs(
                axes=[zoo.AxisId(axis) for axis in ("channel", "y", "x")],
                min_percentile=percentiles[0],
                max_percentile=percentiles[1],
                reference_tensor=zoo.TensorId("reference"),
            )
        ),
        zoo.ClipDescr(kwargs=zoo.ClipKwargs(min=0.0, max=1.0)),
    ]
    weights = zoo.PytorchStateDictWeightsDescr(
        source=folder / "weights.pt",
        architecture=zoo.ArchitectureFromLibraryDescr(
            callable=zoo.Identifier("ReferencePrompted"),
            import_from="napari_vrp_sam.research.model_zoo.network",
            kwargs=dict(sizes),
        ),
        pytorch_version=zoo.Version(metadata.version("torch").partition("+")[0]),
    )
    return zoo.ModelDescr(
        name=f"{spec.name} (napari-vrp-sam)",
        description="Annotate a class on one image to get its probability on another image.",
        authors=[zoo.Author(name="napari-vrp-sam contributors")],
        cite=[
            zoo.CiteEntry(
                text="Sun et al.: VRP-SAM: SAM with Visual Reference Prompt. CVPR 2024.",
                doi=zoo.Doi("10.48550/arXiv.2402.17726"),
            )
        ],
        license=zoo.LicenseId(spec.licence),
        tags=["segmentation", "few-shot", "2d", "pytorch", "napari", "interactive"],
        documentation=zoo.FileDescr(source=folder / "README.md"),
        covers=[zoo.FileDescr(source=folder / "cover.png")],
        inputs=[
            _input(folder, "target", "Image to segment.", 3, scaling),
            _input(folder, "reference", "Image that contains the class.", 3, scaling),
            _input(folder, "mask", "1 on the class in the reference, 0 elsewhere.", 1, []),
        ],
        outputs=[
            zoo.OutputTensorDescr(
                id=zoo.TensorId("probability"),
                description="Probability of the class in the target.",
                axes=_axes(1, same_as="target"),
                test_tensor=zoo.FileDescr(source=folder / "probability.npy"),
                data=zoo.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
            )
        ],
        weights=zoo.WeightsDescr(pytorch_state_dict=weights),
        config=zoo.Config(
            bioimageio=zoo.BioimageioConfig(
                architecture_type="EfficientNet-Lite0 with probe",
                task="segmentation",
                # Rounding errors change thresholds of the classifier fitted to the reference.
                reproducibility_tolerance=[
                    zoo.ReproducibilityTolerance(
                        relative_tolerance=5e-3,
                        absolute_tolerance=5e-3,
                        mismatched_elements_per_million=1000,
                    )
                ],
            )
        ),
    )


def _input(folder: Path, name: str, description: str, channels: int, processing: Any) -> Any:
    return zoo.InputTensorDescr(
        id=zoo.TensorId(name),
        description=description,
        axes=_axes(channels, same_as="reference" if name == "mask" else ""),
        test_tensor=zoo.FileDescr(source=folder / f"{name}.npy"),
        data=zoo.IntervalOrRatioDataDescr(type="float32"),
        preprocessing=list(processing),
    )


def _axes(channels: int, same_as: str) -> list[Any]:
    """Describe batch, channel, y and x; sizes equal those of another tensor or are free."""
    names = [zoo.Identifier(f"c{number}") for number in range(channels)]
    space = zoo.SpaceOutputAxis if same_as == "target" else zoo.SpaceInputAxis
    sides = []
    for axis in map(zoo.AxisId, "yx"):
        size = (
            zoo.SizeReference(tensor_id=zoo.TensorId(same_as), axis_id=axis)
            if same_as
            else zoo.ParameterizedSize(min=SMALLEST, step=STEP)
        )
        sides.append(space(id=axis, size=size))
    return [zoo.BatchAxis(), zoo.ChannelAxis(channel_names=names), *sides]
