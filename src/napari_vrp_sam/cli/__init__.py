"""The command line `vrp-sam`.

Exit codes: 0 success; 2 invalid usage or input, reported in one sentence; 1 internal error;
130 interrupted and 143 terminated, with finished frames saved.
"""

from __future__ import annotations

from importlib.util import find_spec

# Importing a command registers it; heavy packages are imported when a command runs.
from napari_vrp_sam.cli import (  # noqa: F401
    compare,
    demo,
    export,
    fine_tune,
    images,
    models,
    objects,
    relabel,
    samples,
    segmenter,
)
from napari_vrp_sam.cli.app import app
from napari_vrp_sam.cli.segment import command  # noqa: F401

if find_spec("napari_vrp_sam.research") is not None:  # a wheel may leave it out
    import napari_vrp_sam.cli.research  # noqa: F401

__all__ = ["app", "main"]


def main() -> None:
    """Run `vrp-sam`."""
    app()
