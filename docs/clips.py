"""Record short clips of the window, as animated GIFs for the README and the documentation."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SIZE = (960, 600)
"""Size of a clip in pixels."""
GRAYS, COLOURS = 32, 32
"""Numbers of grays and of other colours in a clip: more of them make larger files."""
INTERVAL = 400
"""Milliseconds between two recorded pictures."""
LIMIT = 2_000_000
"""Largest size of a file, in bytes."""
POINTER = ((0, 0), (0, 15), (4, 12), (7, 18), (10, 17), (7, 11), (12, 11))
"""Outline of the mouse pointer, which pictures of a window do not show."""


def use_own_settings() -> None:
    """Keep settings, models and runs in temporary folders; call before napari is imported.

    Pictures must not depend on windows and themes that napari remembers.
    """
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
    os.environ["VRP_SAM_MODELS"] = tempfile.mkdtemp()
    os.environ["VRP_SAM_UNFINISHED"] = tempfile.mkdtemp()


class Clip:
    """Clip of a window, recorded while a user plays in it.

    Parameters
    ----------
    play : tests.plugin.halfhour.play.Play
    """

    def __init__(self, play: Any) -> None:
        self._play = play
        self._pictures: list[Image.Image] = []

    def record(self, step: Callable[[Any], None], count: int) -> None:
        """Play a step, with a picture every `INTERVAL`; keep at most a number of them."""
        from qtpy.QtCore import QTimer

        before, self._pictures = self._pictures, []
        timer = QTimer()
        timer.setInterval(INTERVAL)
        timer.timeout.connect(self.take)
        timer.start()
        step(self._play)
        timer.stop()
        kept = np.linspace(0, len(self._pictures) - 1, min(count, len(self._pictures)))
        self._pictures = before + [self._pictures[round(float(k))] for k in kept]

    def scroll(self, frames: Iterable[int]) -> None:
        """Show some frames of the stack, then the frame in view again."""
        from qtpy.QtTest import QTest

        shown = self._play.frame_shown
        for frame in frames:
            self._play.viewer.dims.set_current_step(0, frame)
            QTest.qWait(INTERVAL)
            self.take()
        self._play.viewer.dims.set_current_step(0, shown)

    def take(self) -> None:
        """Take a picture, unless the window looks as in the last one."""
        from qtpy.QtGui import QCursor

        window = self._play.window
        picture = Image.fromarray(self._play.viewer.window.screenshot(flash=False)[..., :3])
        at = window.mapFromGlobal(QCursor.pos())
        scale = picture.width / window.width()
        outline = [((x + at.x()) * scale, (y + at.y()) * scale) for x, y in POINTER]
        ImageDraw.Draw(picture).polygon(outline, fill="white", outline="black")
        picture = picture.resize(SIZE, Image.Resampling.LANCZOS)
        if not self._pictures or _difference(picture, self._pictures[-1]) > 0.002:
            self._pictures.append(picture)

    def save(self, path: Path, milliseconds: int = 500) -> None:
        """Write an animated GIF that repeats; the last picture stays for two seconds."""
        palette = _palette(self._pictures)
        pictures = [
            picture.quantize(palette=palette, dither=Image.Dither.NONE)
            for picture in self._pictures
        ]
        durations = [milliseconds] * (len(pictures) - 1) + [2000]
        first, *rest = pictures
        first.save(
            path, save_all=True, append_images=rest, duration=durations, loop=0, optimize=True
        )
        if path.stat().st_size > LIMIT:
            path.unlink()
            raise RuntimeError(f"{path} would be larger than {LIMIT} bytes: keep fewer pictures.")


def _difference(first: Image.Image, second: Image.Image) -> float:
    """Return the fraction of pixels that differ visibly."""
    gap = np.abs(np.asarray(first, dtype=np.int16) - np.asarray(second, dtype=np.int16))
    return float((gap.max(axis=-1) > 40).mean())


def _palette(pictures: list[Image.Image]) -> Image.Image:
    """Return an image with the palette of all pictures; contours are few pixels, but get theirs."""
    some = [np.asarray(picture)[::2, ::2] for picture in pictures[:: max(1, len(pictures) // 8)]]
    pixels = np.concatenate(some).reshape(-1, 3)
    coloured = np.ptp(pixels.astype(np.int16), axis=-1) > 50
    values: list[int] = []
    for chosen, count in ((pixels[~coloured], GRAYS), (pixels[coloured], COLOURS)):
        found = Image.fromarray(chosen[None]).quantize(count, Image.Quantize.MEDIANCUT)
        values += (found.getpalette() or [])[: 3 * count]
    palette = Image.new("P", (1, 1))
    palette.putpalette(values)
    return palette
