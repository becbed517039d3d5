"""A model on a device that learns references, and gets along with less memory if it must."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vrp_sam.annotations.labels import class_ids_of
from napari_vrp_sam.annotations.reference import Reference
from napari_vrp_sam.errors import InputError
from napari_vrp_sam.inference.normalisation import Normalisation
from napari_vrp_sam.inference.out_of_core.frame_view import FrameLike
from napari_vrp_sam.inference.prediction.batches import FrameBatches
from napari_vrp_sam.inference.prediction.caches.feature_cache import (
    FeatureCache,
    annotations_digest,
    ordered,
)
from napari_vrp_sam.inference.prediction.frame_encoder import FrameEncoder
from napari_vrp_sam.inference.prediction.memory import MemoryStep, next_step
from napari_vrp_sam.inference.prediction.reference_crops import (
    LARGEST_CROP,
    check_images,
    crop_references,
    image_key,
)
from napari_vrp_sam.inference.prediction.tiles.tiling import DEFAULT_TILE, MIN_TILE, check_tile
from napari_vrp_sam.models.base import MARK_KINDS, EncodedReference, Model
from napari_vrp_sam.models.calibration import ClassCalibration
from napari_vrp_sam.models.devices import is_out_of_memory, resolve_device
from napari_vrp_sam.models.precision import Precision, half_precision_dtype

logger = logging.getLogger(__name__)

CPU = torch.device("cpu")


class LearnedModel:
    """Learn the classes of annotated frames with a model; the base of `Predictor`.

    Parameters
    ----------
    model : Model
    device : str
    tile_size : int, optional
    precision : {"auto", "float32", "bfloat16", "float16"}
    compile : bool
    batch : int, optional
        See `Predictor`.

    Attributes
    ----------
    device : torch.device
    model : Model
        Copy on this device.
    tile_size : int
        Longest side in pixels of frames that are not tiled, after the model has enlarged them.
    memory_steps : list of MemoryStep
        Steps that were taken because the memory was full; whoever reports them empties the list.
    moved : bool
        Whether the model had to move to the CPU.
    """

    def __init__(
        self,
        model: Model,
        *,
        device: str | torch.device = "auto",
        tile_size: int | None = None,
        precision: Precision = "auto",
        compile: bool = False,
        batch: int | None = None,
    ) -> None:
        chosen = resolve_device(device)
        half_precision_dtype(chosen, precision)  # raises for unknown names
        self.tile_size = check_tile(tile_size)
        self.memory_steps: list[MemoryStep] = []
        self.moved = False
        self._given: tuple[Sequence[Reference], Normalisation, float] | None = None
        self._class_ids: tuple[int, ...] = ()
        self._prepared: Any = None
        self._learned: object = None
        self._use(model.configured(chosen, precision=precision, compiled=compile), chosen, batch)

    def _use(self, model: Model, device: torch.device, batch: int | None) -> None:
        """Use a model that lies on a device."""
        self.device, self.model = device, model
        self._batches = FrameBatches(model, device, batch, compiled=model.compiled)
        self._encoder = FrameEncoder(model, device)

    @property
    def batch_size(self) -> int:
        """Number of frames that `predict_stream` computes at a time, as memory allows now."""
        return self._batches.size

    @property
    def cache(self) -> FeatureCache | None:
        """Cache of frame features, if one is set."""
        return self._encoder.cache

    @cache.setter
    def cache(self, cache: FeatureCache | None) -> None:
        self._encoder.cache = cache

    @property
    def tile_side(self) -> int:
        """Longest side of tiles, and of frames that are not tiled, in pixels of the frame."""
        return max(MIN_TILE, self.tile_size // self.model.zoom)

    @property
    def class_ids(self) -> tuple[int, ...]:
        """The K classes of the references, ascending."""
        return self._class_ids

    @property
    def prepared(self) -> Any:
        """Return value of `Model.prepare` for the references."""
        return self._prepared

    @property
    def calibrations(self) -> dict[int, ClassCalibration]:
        """Calibration and expected IoU of each class; empty for models without calibration."""
        return self.model.calibrations(self._prepared)

    @torch.no_grad()
    def set_references(
        self,
        references: Sequence[Reference],
        normalisation: Normalisation,
        *,
        effort: float = 1.0,
    ) -> None:
        """Fit the model to the classes of annotated frames.

        References that are already learned are not learned again.

        Parameters
        ----------
        references : sequence of Reference
            References of any number of classes and frames; their order does not matter.
        normalisation : Normalisation
            Normalisation of the stack to predict, applied to the references too.
        effort : float, default 1
            Effort of learning, above 0 up to 1; see `Model.effort`.

        Raises
        ------
        InputError
            If the effort is out of range, there is no reference, a reference has another number of
            channels than the stack, or two references with the same frame have different images.
        """
        if not references:
            raise InputError("There is no annotation: annotate a class on at least one frame.")
        check_images(references)
        check_effort(effort)
        known = self._key(references, normalisation, effort)
        if known == self._learned:
            return
        self._given = references, normalisation, effort
        try:
            self._learn()
            self._learned = known
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self._apply(next_step(1, 0, self.device.type, tiles=False))
        self._learned = known

    @torch.no_grad()
    def _learn(self) -> None:
        """Learn the given references."""
        assert self._given is not None
        given, normalisation, effort = self._given
        references = ordered(given)
        self._learned = None
        self._encoder.normalisation = normalisation
        # This does not change the caller's model: ours is a copy.
        adapt_model(self.model, references, self._encoder.encode_references)
        part = self._reference_side if self.model.input_side else LARGEST_CROP
        crops = crop_references(references, self._reference_side, part)
        encoded = self._encoder.encode_references(crops)
        self._class_ids = class_ids_of(references)
        self.model.effort = effort
        self._prepared = self.model.prepare(encoded)

    def has_learned(
        self, references: Sequence[Reference], normalisation: Normalisation, *, effort: float = 1.0
    ) -> bool:
        """Return True if `set_references` with the same arguments has nothing to do."""
        return self._key(references, normalisation, effort) == self._learned

    def _key(
        self, references: Sequence[Reference], normalisation: Normalisation, effort: float
    ) -> object:
        effort = effort if self.model.uses_effort else 1.0
        return annotations_digest(references), normalisation, self._reference_side, effort

    def _use_less_memory(self, frame: FrameLike, batch: int) -> None:
        """Take the next step after a number of frames or tiles did not fit into the memory."""
        side = min(self.tile_size, max(frame.shape[:2]))
        tiles = self.model.input_side is None
        self._apply(next_step(batch, side, self.device.type, tiles=tiles))

    def _apply(self, step: MemoryStep) -> None:
        """Take a step after which predictions need less memory, and report it."""
        logger.warning(step.message)
        self.memory_steps.append(step)
        if step.batch is not None:
            self._batches.limit(step.batch)
        elif step.tile_size is not None:
            self.tile_size = step.tile_size
        else:
            # Features, graphs and references on the GPU go with the parts that hold them.
            self._prepared, self.moved = None, True
            self._use(self.model.configured(CPU), CPU, None)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if step.cpu:
            self._learn()

    @property
    def _reference_side(self) -> int:
        """Longest side of references that are learned without cropping."""
        # A class must have the same size on a reference as in a tile. This matters for models that
        # resize frames only; others learn from as much as memory allows.
        return self.tile_size if self.model.input_side else max(self.tile_size, DEFAULT_TILE)


def adapt_model(
    model: Model,
    references: Sequence[Reference],
    encode: Callable[[Sequence[Reference]], Sequence[EncodedReference]],
) -> None:
    """Adapt a model to the size of the annotated objects.

    Parameters
    ----------
    model : Model
    references : sequence of Reference
    encode : callable
        Function that encodes references with the model.
    """
    whole = [r for r in references if not r.is_crop]  # crops do not show the size of their frame
    masks = [r.mask > 0.5 for r in whole if r.kind not in MARK_KINDS]
    marked = dict.fromkeys(image_key(r) for r in whole if r.kind in MARK_KINDS)
    estimated: list[NDArray[np.bool_]] = []
    # Points and scribbles do not show the size of objects; pixels that look like them do.
    if marked and max(max(r.mask.shape) for r in whole) <= model.estimated_side:
        model.adapt([])
        for key in marked:  # one frame at a time, because features are large
            of_frame = [r for r in whole if image_key(r) == key]
            estimated += model.estimate_masks(encode(of_frame))
    model.adapt(masks, estimated)


def check_effort(effort: float) -> float:
    """Return an effort of learning.

    Raises
    ------
    InputError
        If it is not above 0 up to 1.
    """
    if not 0 < effort <= 1:
        raise InputError(f"The effort {effort} is out of range: choose one above 0 and up to 1.")
    return effort
