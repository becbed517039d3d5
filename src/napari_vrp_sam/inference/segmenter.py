"""`Segmenter`: learn classes from annotated frames, and segment stacks of the same kind."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.annotations.reference import AnnotationKind, Reference
from napari_vrp_sam.deprecation import renamed_arguments
from napari_vrp_sam.inference.arguments import as_limits, as_position
from napari_vrp_sam.inference.normalisation import Normalisation, fit_normalisation
from napari_vrp_sam.inference.opening import as_annotation, open_stack
from napari_vrp_sam.inference.prediction.predictor_cache import PredictorCache
from napari_vrp_sam.inference.prediction_methods import Prediction
from napari_vrp_sam.inference.references.gather import gather_references
from napari_vrp_sam.inference.runs.segmentation_job import check_references
from napari_vrp_sam.inference.segmenter_file import SHARED_SETTINGS, read_segmenter, write_segmenter

if TYPE_CHECKING:
    from napari_vrp_sam.inference.relabelling.relabel import RelabelSettings
    from napari_vrp_sam.models.base import Model
    from napari_vrp_sam.models.precision import Precision
    from napari_vrp_sam.models.sam.prompting import Prompting
    from napari_vrp_sam.models.vrp.pseudo_mask import PseudoMaskKind


class Segmenter(Prediction):
    """Segment stacks from one or more annotated frames.

    The constructor keeps the settings, `fit` learns from the annotation and returns the segmenter,
    and attributes that were learned end in an underscore, as in scikit-learn.

    Parameters
    ----------
    model : str, Path or Model, default: "lite"
        Name of a model, weights file, or return value of `load_model`.
    device : str, default: "auto"
        "cpu", "cuda", "mps", or "auto" for the fastest available device.
    precision : {"auto", "float32", "bfloat16", "float16"}, default: "auto"
        Floating-point format of the encoders; "auto" is half precision on devices where it is fast.
    compile : bool, default: False
        Compile the encoders of a full-size model with `torch.compile`, which takes one or two
        minutes and is worthwhile for long stacks.
    contrast_limits : tuple of float, optional
        Intensities that are mapped to 0 and 1; default: percentiles of a sample of the stack.
    tile_size : int, optional
        Larger frames are segmented in overlapping tiles of this many pixels; default: 2048.
    pseudo_mask : {"probe", "correlation"}, optional
        Method that computes pseudo-masks; see `load_model`.
    prompting : {"vrp", "objects", "points", "box", "points+box", "persam", "probe"}, optional
        Source of SAM's prompts in a full-size model; see `load_model`.
    cache : bool, optional
        Keep features of frames on disk for later runs; default: for full-size models on a CPU.
    effort : float, default: 1.0
        Effort of learning, above 0, up to 1: less is faster but less accurate. `lite` with 0.2
        learns several times faster, but does not estimate the expected IoU; the other models
        ignore it.
    neighbours : bool, default: True
        Average uncertain frames with the frames before and after them, moved by the optical flow,
        if the masks of annotated frames agree with those of their neighbours: for stacks and time
        series whose frames are alike.
    relabelling : RelabelSettings, optional
        Thresholds of the classes and clean-up of the labels; see `Segmentation.relabel`. Default:
        each pixel gets its most probable class, if its probability is above 0.5.

    Attributes
    ----------
    references_ : list of Reference
        One for each annotated frame and class.
    class_ids_ : tuple of int
    normalisation_ : Normalisation
        Contrast limits of each channel, taken from the fitted stack, and of more than three
        channels their projection.
    expected_iou_ : dict of int to float or None
        See `Segmentation`.

    Examples
    --------
    >>> from napari_vrp_sam.io.samples import sample_stack
    >>> stack, truth = sample_stack(seed=0, size=96, frames=3)
    >>> segmenter = Segmenter("lite", device="cpu")
    >>> result = segmenter.fit(stack, truth[1], axes="ZYX", reference_frame=1).predict(stack)
    >>> result.labels.shape, result.class_ids
    ((3, 96, 96), (1,))
    """

    def __init__(
        self,
        model: str | Path | Model = "lite",
        *,
        device: str = "auto",
        precision: Precision = "auto",
        compile: bool = False,
        contrast_limits: tuple[float, float] | None = None,
        tile_size: int | None = None,
        pseudo_mask: PseudoMaskKind | None = None,
        prompting: Prompting | None = None,
        cache: bool | None = None,
        effort: float = 1.0,
        neighbours: bool = True,
        relabelling: RelabelSettings | None = None,
    ) -> None:
        self.model = model
        self.device = device
        self.precision = precision
        self.compile = compile
        self.contrast_limits = as_limits(contrast_limits)
        self.tile_size = tile_size
        self.pseudo_mask = pseudo_mask
        self.prompting = prompting
        self.cache = cache
        self.effort = effort
        self.neighbours = neighbours
        self.relabelling = relabelling
        self._axes: str | None = None
        self._channels: tuple[int, ...] | None = None
        self._nodata: float | None = None
        self._predictors = PredictorCache()
        self.references_: list[Reference]
        self.class_ids_: tuple[int, ...]
        self.normalisation_: Normalisation

    @renamed_arguments(frame="reference_frame", kind="annotation_kind")
    def fit(
        self,
        stack: Any,
        annotation: Any,
        *,
        axes: str | Sequence[str] | None = None,
        channels: Sequence[int] | slice | int | None = None,
        nodata: float | None = None,
        reference_frame: int | Sequence[int] | None = None,
        annotation_kind: AnnotationKind | None = None,
        background: int | None = None,
        ignore: int | None = None,
        one_class: bool | None = None,
        class_column: str | None = None,
    ) -> Self:
        """Learn classes from annotated frames.

        Parameters
        ----------
        stack : array or path
            NumPy, dask, zarr or xarray array, of which only a sample of the frames is read; PyTorch
            tensor; list of arrays; or path of an image. Masked pixels of a masked array, and NaN,
            are missing.
        annotation : integer array, path, or sequence of Reference
            Label image of the stack (every frame with a label is a reference) or of one frame; the
            label value is the class. Or a file of another program, such as GeoJSON of QuPath,
            COCO, ROIs of ImageJ, a table of points or a GeoPackage.
        axes : str or sequence of str, optional
            One letter of T, Z, C, Y, X, S for each axis of `stack`, or their names, such as "time,
            band, y, x". Default: those of the file or xarray, else guessed.
        channels : sequence of int, range, slice or int, optional
            Channels to use; default: all. More than three are projected to three, by what the
            annotation separates.
        nodata : float, optional
            Value of missing pixels: they are not learned and get the label 0. Default: what the
            file or xarray states.
        reference_frame : int or sequence of int, optional
            The annotated frame: its index, or its position along the leading axes, from 0.
        annotation_kind : {"mask", "partial", "scribble", "box", "point"}, optional
            How a label image was drawn; default: "mask", unless the labels look like strokes.
            Unlabelled pixels are background for masks and boxes, and unknown for scribbles, points
            and partial masks, in which only some objects are filled.
        background : int, optional
            Label value of pixels that belong to no class, such as strokes on look-alikes.
        ignore : int, optional
            Label value of pixels that are excluded from learning.
        one_class : bool, optional
            True: all label values are the same class, such as numbered objects. False: each value
            is a class. Default: each value is a class, unless the labels look like numbered
            objects, strokes, or contain a value that usually marks unknown pixels: an error then
            asks for this argument, for `annotation_kind`, or for `ignore`.
        class_column : str, optional
            Attribute or column with the class of each shape or point in the file of an annotation;
            default: the first of the usual names.

        Returns
        -------
        Segmenter
            The segmenter itself.

        Raises
        ------
        InputError
            If stack and annotation do not match, nothing is annotated, or the axes of the stack are
            not certain.
        """
        opened = open_stack(stack, axes, nodata)
        view = opened.frames(annotation, channels)
        annotation = as_annotation(annotation, opened, view, class_column=class_column)
        self._axes, self._nodata = view.axes, nodata
        self._channels = None if channels is None else view.channels
        self.references_ = gather_references(
            view,
            annotation,
            reference_frame=as_position(reference_frame, "reference_frame"),
            annotation_kind=annotation_kind,
            background=background,
            ignore=ignore,
            one_class=one_class,
        )
        self.class_ids_ = class_ids_of(self.references_)
        check_references(self.references_, len(view))
        self.normalisation_ = fit_normalisation(view, self.contrast_limits, self.references_)
        return self

    @property
    def expected_iou_(self) -> dict[int, float | None]:
        """See the class; the model is loaded and learns when this is first needed."""
        predictor = self._predictors.predictor(self._job(None))
        predictor.set_references(self.references_, self.normalisation_, effort=self.effort)
        return {
            class_id: calibration.expected_iou
            for class_id, calibration in predictor.calibrations.items()
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write settings, references and contrast limits to one file.

        The model is stored by its name, or by the path of its file.

        Raises
        ------
        InputError
            If the segmenter was not fitted, its model is not known by a name or a path, or the
            file cannot be written.
        """
        write_segmenter(path, self._job(None), axes=self._axes, expected_iou=self.expected_iou_)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str = "auto") -> Segmenter:
        """Read a segmenter that `save` wrote; nothing in the file is executed.

        Parameters
        ----------
        path : path
        device : str, default: "auto"
            See the class; the device is not part of the file.

        Raises
        ------
        InputError
            If the file is damaged or its model is not available.
        """
        job, axes = read_segmenter(path)
        segmenter = cls(
            job.model,
            device=device,
            **{name: getattr(job, name) for name in SHARED_SETTINGS},
            relabelling=job.relabelling,
        )
        assert job.normalisation is not None  # checked when the file is read
        segmenter._axes, segmenter._nodata = axes, job.nodata
        segmenter._channels = None if job.channels is None else tuple(job.channels)
        segmenter.references_ = list(job.references)
        segmenter.class_ids_ = class_ids_of(job.references)
        segmenter.normalisation_ = job.normalisation
        return segmenter
