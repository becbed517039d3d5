"""Quick probes for the tests of `lite`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from napari_vrp_sam.models.lite import network
from napari_vrp_sam.models.probe.ensemble import EnsembleProbe, fit_ensemble


@pytest.fixture(scope="module", autouse=True)
def quick_probes() -> Iterator[None]:
    """Fit ensembles with a fifth of the usual effort, which takes most of the time of the tests."""

    def fit(*args: Any, effort: float = 1.0) -> EnsembleProbe:
        return fit_ensemble(*args, effort=effort / 5)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "fit_ensemble", fit)
        yield
