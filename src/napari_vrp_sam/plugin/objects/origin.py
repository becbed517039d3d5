"""The state of a result in which its objects were found, to tell when they are out of date."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_vrp_sam.plugin.layers.outputs.accepted import frame_labels
from napari_vrp_sam.plugin.layers.outputs.result_settings import settings_of

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_vrp_sam.inference.frames import Frames
    from napari_vrp_sam.inference.objects.result_settings import ResultSettings
    from napari_vrp_sam.inference.objects.settings import ObjectSettings


@dataclass
class Origin:
    """Result in which objects were found.

    Attributes
    ----------
    result : hashable
        Unique id of its layer.
    settings : ResultSettings
        Thresholds and clean-up of its labels.
    clean_up : ObjectSettings
        Default settings with the clean-up of the objects.
    checksums : list of int
        Checksum of the labels of each frame.
    """

    result: Hashable
    settings: ResultSettings
    clean_up: ObjectSettings
    checksums: list[int]

    def changed_frames(self, layer: Labels, frames: Frames, indices: Iterable[int]) -> set[int]:
        """Return those of the frames whose labels have changed."""
        return {i for i in indices if checksum(frame_labels(layer, frames, i)) != self.checksums[i]}

    def is_other(self, layer: Labels, clean_up: ObjectSettings) -> bool:
        """Return True for another result, or other settings of the same one."""
        return (layer.unique_id, settings_of(layer), clean_up) != (
            self.result,
            self.settings,
            self.clean_up,
        )


def checksum(labels: NDArray[Any]) -> int:
    """Return the checksum of the labels of a frame, whatever their dtype."""
    return zlib.crc32(np.ascontiguousarray(labels, dtype=np.int32).data)
