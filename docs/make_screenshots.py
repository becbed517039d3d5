"""Take the pictures of the window that the documentation shows.

    xvfb-run -s "-screen 0 1920x1080x24" python docs/make_screenshots.py [FOLDER] [--all]

Plays the half hour of `tests/plugin/halfhour` with the mouse, and takes a picture after each step
that the documentation shows. With --all, it takes pictures after every step, at 1280 x 800 and
1920 x 1080, in the dark and the light theme.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

SHOWN = (
    "draw_incompletely",
    "preview",
    "run",
    "accept",
    "threshold",
    "objects",
    "fine_tune",
    "scribble",
)
"""Steps whose pictures the documentation shows."""
COLOURS = 256
"""Of the files: a palette makes them small."""
SIZES = {"": (1280, 800), "-large": (1920, 1080)}
THEMES = {"": "dark", "-light": "light"}


def main(folder: Path, *, everything: bool) -> None:
    """Play the half hour, and take a picture of each step."""
    # napari remembers windows and themes; the pictures must not depend on whose they are.
    os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "settings.yaml")
    os.environ["VRP_SAM_MODELS"] = tempfile.mkdtemp()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import napari
    from PIL import Image
    from qtpy.QtTest import QTest
    from tests.plugin.halfhour.play import Play
    from tests.plugin.halfhour.steps import STEPS

    play = Play(napari.Viewer(), Path(tempfile.mkdtemp()))

    def take(name: str) -> None:
        QTest.qWait(1000)  # until everything is drawn
        picture = play.viewer.window.screenshot(flash=False)
        small = Image.fromarray(picture[..., :3]).quantize(
            COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
        )
        small.save(folder / f"{name}.png", optimize=True)

    def take_all(name: str) -> None:
        take(name)
        for (size_name, size), (theme_name, theme) in itertools.product(
            SIZES.items(), THEMES.items()
        ):
            if size_name or theme_name:
                play.viewer.theme = theme
                play.resize(*size)
                take(f"{name}{size_name}{theme_name}")
        play.viewer.theme = THEMES[""]
        play.resize(*SIZES[""])

    for number, step in enumerate(STEPS, start=1):
        start = time.monotonic()
        step(play)
        name = step.__name__.replace("_", "-")
        if everything:
            take_all(f"{number}-{name}")
        elif step.__name__ in SHOWN:
            take(name)
        sys.stderr.write(f"{step.__doc__} {time.monotonic() - start:.0f} s\n")
    play.viewer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "images")
    parser.add_argument("--all", action="store_true", help="take all sizes and themes")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    main(arguments.folder, everything=arguments.all)
