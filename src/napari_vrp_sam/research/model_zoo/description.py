"""What a package for the BioImage Model Zoo says about itself, in version 0.5 of its format."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from bioimageio.spec.model import v0_5 as zoo

from napari_vrp_sam.models.weights.catalogue import ModelSpec

SMALLEST, STEP = 64, 32
"""Sides in pixels that consumers are told to use; the model itself takes any from 16 on."""


def describe(
    folder: Path, spec: ModelSpec, sizes: Mapping[str, int], percentiles: tuple[float, float]
) -> Any:
    """Describe the files of a package.

    Parameters
    ----------
    folder : Path
        Holds `weights.pt`, `README.md`, `cover.png`, and `target`, `reference`, `mask` and
        `probability` as `.npy`.
    spec : ModelSpec
    sizes : mapping of str to int
        Arguments of the architecture.
    percentiles : tuple of float
        Of the reference's intensities, mapped to 0 and 1.
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
        description="Annotate a class on one image, get its probability on another.",
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
            _input(folder, "target", "Where the class is looked for.", 3, scaling),
            _input(folder, "reference", "An image that shows the class.", 3, scaling),
            _input(folder, "mask", "1 on the class in the reference, elsewhere 0.", 1, []),
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
                # A classifier is fitted to the reference: its thresholds jump where sums round.
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
    """Batch, channel, y and x; sides are those of another tensor, or may be chosen."""
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
