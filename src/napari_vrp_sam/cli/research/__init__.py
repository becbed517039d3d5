"""Commands for research: `evaluate`, `train`, `data` and `benchmark`."""

from napari_vrp_sam.cli.research import (  # noqa: F401
    benchmark,
    data,
    episodes,
    evaluate,
    few_shot,
    train,
    train_few_shot,
)
