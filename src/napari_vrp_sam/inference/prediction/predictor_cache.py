"""The predictor that a process keeps from one job to the next, with its model and features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_vrp_sam.inference.prediction.caches.disk_feature_cache import DiskFeatureCache
    from napari_vrp_sam.inference.prediction.predictor import Predictor
    from napari_vrp_sam.inference.runs.segmentation_job import SegmentationJob
    from napari_vrp_sam.models.weights.downloads import DownloadProgress


class PredictorCache:
    """Keep the predictor of the last job: one model at a time, as two may not fit into memory.

    Parameters
    ----------
    limit : int, optional
        Largest size of the features in bytes; see `FeatureCache`.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._key: object = None
        self._predictor: Predictor | None = None

    def predictor(
        self, job: SegmentationJob, progress: DownloadProgress | None = None
    ) -> Predictor:
        """Return the predictor of a job; the last one, if it has the same model.

        Parameters
        ----------
        job : SegmentationJob
        progress : callable, optional
            Called during downloads; see `DownloadProgress`.

        Raises
        ------
        InputError
            If the model cannot be loaded.
        """
        from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache

        key = _key(job)
        if self._predictor is None or key != self._key or self._predictor.moved:
            self.clear()  # free the memory before the next model needs it
            predictor = _loaded(job, progress)
            # A GPU encodes `lite` faster than its features are copied from main memory.
            quick = predictor.model.uses_cuda_graphs and predictor.device.type == "cuda"
            disk = _disk_cache(job, predictor)
            # Without a cache, frames need no digests.
            if disk is not None or not (quick or self._limit == 0):
                predictor.cache = FeatureCache(self._limit, disk)
            self._key, self._predictor = key, predictor
        assert self._predictor is not None
        self._predictor.tile_size = job.tile_side
        if self._predictor.cache is not None:
            self._predictor.cache.start_round()
        return self._predictor

    def clear(self) -> None:
        """Drop the predictor."""
        self._key = self._predictor = None


def load_predictor(job: SegmentationJob, progress: DownloadProgress | None = None) -> Predictor:
    """Create the predictor of a job, which caches features on disk or not at all.

    Parameters
    ----------
    job : SegmentationJob
    progress : callable, optional
        Called during downloads; see `DownloadProgress`.

    Raises
    ------
    InputError
        If the model cannot be loaded, or the device does not exist.
    """
    from napari_vrp_sam.inference.prediction.caches.feature_cache import FeatureCache

    predictor = _loaded(job, progress)
    disk = _disk_cache(job, predictor)
    if disk is not None:
        predictor.cache = FeatureCache(0, disk)
    return predictor


def _loaded(job: SegmentationJob, progress: DownloadProgress | None) -> Predictor:
    from napari_vrp_sam.inference.prediction.predictor import Predictor

    model = job.model
    if isinstance(model, str | Path):
        from napari_vrp_sam.models.zoo.registry import load_model

        model = load_model(
            model,
            device=job.device,
            pseudo_mask=job.pseudo_mask,
            prompting=job.prompting,
            progress=progress,
        )
    return Predictor(
        model,
        device=job.device,
        tile_size=job.tile_side,
        precision=job.precision,
        compile=job.compile,
    )


def _disk_cache(job: SegmentationJob, predictor: Predictor) -> DiskFeatureCache | None:
    """Return the cache on disk for the features of the job's model, if it uses one."""
    if job.cache is False or not isinstance(job.model, str | Path):
        return None
    from napari_vrp_sam.inference.prediction.caches.disk_feature_cache import (
        disk_cache,
        uses_disk_cache,
    )

    resizing = predictor.model.input_side is not None
    if not uses_disk_cache(job.cache, resizing=resizing, device=predictor.device.type):
        return None
    from napari_vrp_sam import __version__
    from napari_vrp_sam.inference.prediction.caches.feature_cache import digest
    from napari_vrp_sam.models.zoo.digests import weights_digest

    precision = predictor.model.precision
    # Encoders may change with the version, and compute what the pseudo-mask needs.
    known = digest(weights_digest(job.model), job.pseudo_mask, precision, __version__)
    return disk_cache(known.hex())


def _key(job: SegmentationJob) -> object:
    """Return what identifies the model of a job; a file may be rewritten under the same name."""
    how = job.device, job.precision, job.compile
    if not isinstance(job.model, str | Path):
        return id(job.model), how
    from napari_vrp_sam.models.zoo.registry import weights_file

    path = weights_file(str(job.model))
    state = (path.stat().st_mtime_ns, path.stat().st_size) if path and path.is_file() else None
    return str(job.model), state, how, job.pseudo_mask, job.prompting, job.cache
