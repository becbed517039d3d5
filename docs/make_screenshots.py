"""Take the pictures and the clips of the window that the documentation shows.

    xvfb-run -s "-screen 0 1920x1080x24" python docs/make_screenshots.py [FOLDER] [--all | --clips]

Plays the half hour of `tests/plugin/halfhour` with the mouse, and takes a picture after each step
that the documentation shows, and two clips: from the annotation to the result, and the correction
of a frame. With --clips, it ends after the clips. With --all, it takes pictures after every step,
at 1280 x 800 and 1920 x 1080, in the dark and the light theme, and no clips.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Callable
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
CLIPS = {
    "annotate": {"draw_incompletely": 6, "mark_the_rest": 5, "preview": 2, "run": 3, "result": 5},
    "correct": {"correct": 6, "accept": 2, "run_again": 6},
}
"""Clips: their steps, each with the largest number of its pictures."""
SCROLLED = range(0, 24, 3)
"""Frames that the end of a clip shows."""
COLOURS = 256
"""Number of colours of the pictures: a palette makes them small."""
SIZES = {"": (1280, 800), "-large": (1920, 1080)}
THEMES = {"": "dark", "-light": "light"}


def main(folder: Path, *, everything: bool, clips_only: bool) -> None:
    """Play the half hour, and take pictures of it."""
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    from clips import Clip, use_own_settings

    use_own_settings()
    import napari
    from PIL import Image
    from qtpy.QtTest import QTest
    from tests.plugin.halfhour.play import Play
    from tests.plugin.halfhour.steps import STEPS

    play = Play(napari.Viewer(), Path(tempfile.mkdtemp()))
    clips = {name: Clip(play) for name in CLIPS}

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

    def record(step: Callable[[Play], None], clip_name: str) -> None:
        clips[clip_name].record(step, CLIPS[clip_name][step.__name__])
        if step.__name__ == list(CLIPS[clip_name])[-1]:
            clips[clip_name].scroll(SCROLLED)
            clips[clip_name].save(folder / f"{clip_name}.gif")

    clip_of = {step: clip for clip, steps in CLIPS.items() for step in steps}
    for number, step in enumerate(STEPS, start=1):
        start = time.monotonic()
        if step.__name__ in clip_of and not everything:
            record(step, clip_of[step.__name__])
        else:
            step(play)
        name = step.__name__.replace("_", "-")
        if everything:
            take_all(f"{number}-{name}")
        elif step.__name__ in SHOWN and not clips_only:
            take(name)
        sys.stderr.write(f"{step.__doc__} {time.monotonic() - start:.0f} s\n")
        if clips_only and step.__name__ == list(clip_of)[-1]:
            break
    play.viewer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "images")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="take all sizes and themes")
    which.add_argument("--clips", action="store_true", help="take the clips, then stop")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    main(arguments.folder, everything=arguments.all, clips_only=arguments.clips)
