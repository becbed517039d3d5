"""Pictures of the frames with contours: PNG files, GIF and MP4."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_vrp_sam.errors import InputError
from napari_vrp_sam.files import atomic
from napari_vrp_sam.io.exports.contact_sheet import overlay
from napari_vrp_sam.io.exports.labelled_stack import LabelledStack
from napari_vrp_sam.io.exports.options import ExportOptions

OPACITY = 0.15
"""Opacity of the tint inside of contours."""


def write_overlays(path: Path, stack: LabelledStack, _options: ExportOptions) -> None:
    """Write each frame as a picture at full resolution.

    The names of several pictures end with the number of the frame.

    Raises
    ------
    InputError
        If there is no image, or a file cannot be written.
    """
    for file, picture in zip(picture_files(path, len(stack)), _pictures(stack, None), strict=True):
        with atomic(file) as temporary:
            Image.fromarray(picture).save(temporary)


def export_files(path: Path, count: int) -> list[Path]:
    """Return the files that an export of a number of frames writes; see `picture_files`."""
    return picture_files(path, count) if path.suffix.lower() == ".png" else [path]


def picture_files(path: Path, count: int) -> list[Path]:
    """Return the paths of the pictures of a stack: NAME.png, or NAME_0.png, NAME_1.png, ..."""
    if count == 1:
        return [path]
    width = len(str(count - 1))
    return [path.with_name(f"{path.stem}_{index:0{width}}{path.suffix}") for index in range(count)]


def write_video(path: Path, stack: LabelledStack, options: ExportOptions) -> None:
    """Write all frames, ordered by T and Z, as an animated GIF or an MP4 video (H.264).

    Raises
    ------
    InputError
        If there is no image, or the file cannot be written.
    """
    pictures = _pictures(stack, options.max_size)
    with atomic(path) as temporary:
        if temporary.suffix.lower() == ".gif":
            _write_gif(temporary, pictures, options.frame_rate)
        else:
            _write_mp4(temporary, pictures, options.frame_rate)


def _write_gif(path: Path, pictures: Iterator[NDArray[np.uint8]], frame_rate: float) -> None:
    images = (Image.fromarray(picture) for picture in pictures)
    first = next(images)
    first.save(path, save_all=True, append_images=images, duration=round(1000 / frame_rate), loop=0)


def _write_mp4(path: Path, pictures: Iterator[NDArray[np.uint8]], frame_rate: float) -> None:
    import imageio.v3 as iio

    with iio.imopen(path, "w", plugin="pyav") as file:
        file.init_video_stream("libx264", fps=frame_rate)
        for picture in pictures:
            # The colours of this format are stored for blocks of 2 x 2 pixels.
            height, width = picture.shape[:2]
            even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            file.write_frame(even)


def _pictures(stack: LabelledStack, max_size: int | None) -> Iterator[NDArray[np.uint8]]:
    """Draw the contours of each frame, on a reduced frame if it is larger than `max_size`."""
    if stack.pictures is None:
        raise InputError(
            "Pictures show the labels on their image: give the image, too, or choose another "
            "format."
        )
    for index in range(len(stack)):
        picture, labels = stack.pictures[index], stack.frame(index)
        if max_size is not None and max(labels.shape) > max_size:
            share = max_size / max(labels.shape)
            size = max(1, round(labels.shape[1] * share)), max(1, round(labels.shape[0] * share))
            picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
            rows = (np.arange(size[1]) / share).astype(int).clip(max=labels.shape[0] - 1)
            columns = (np.arange(size[0]) / share).astype(int).clip(max=labels.shape[1] - 1)
            labels = labels[np.ix_(rows, columns)]
        yield overlay(picture, labels, OPACITY)
