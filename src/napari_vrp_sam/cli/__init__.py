"""`vrp-sam`, the command line.

Exit codes: 0 done, 2 wrong usage or bad input (one line says what and how to mend it), 1 a fault
of ours, 130 interrupted (what was finished is kept).
"""

from __future__ import annotations

import os

# Importing a command registers it; none of them imports anything heavy before it runs.
from napari_vrp_sam.cli import demo, fine_tune, models, user_models  # noqa: F401
from napari_vrp_sam.cli.app import app
from napari_vrp_sam.cli.research import (  # noqa: F401
    benchmark,
    data,
    episodes,
    evaluate,
    few_shot,
    train,
    train_few_shot,
)
from napari_vrp_sam.cli.segment import command  # noqa: F401

__all__ = ["app", "main"]


def main() -> None:
    """Run `vrp-sam`."""
    # Must be set before torch is imported. Threads that spin while they wait for each other take
    # the very processor that the others need: 107 s became 39 s beside another busy program.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()
