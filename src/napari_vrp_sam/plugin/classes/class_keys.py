"""Key bindings Alt+0 to Alt+9, which choose a class while a layer that shows classes is active."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer

KEYS = {f"Alt-{number}": number for number in range(10)}
"""Class by key; napari uses the digits without Alt for its tools, and announces them."""


class ClassKeys:
    """Bind the keys on one layer at a time and restore its previous bindings afterwards."""

    def __init__(self, choose: Callable[[int], None]) -> None:
        self._choose = choose
        self._layer: Layer | None = None
        self._before: dict[str, Any] = {}

    def bind(self, layer: Layer | None) -> None:
        """Bind the keys on this layer instead of the previous one; None unbinds them."""
        if layer is self._layer:
            return
        if self._layer is not None:
            for key, before in self._before.items():
                self._layer.bind_key(key, before, overwrite=True)
        self._layer, self._before = layer, {}
        if layer is not None:
            self._before = {
                key: layer.bind_key(key, self._choosing(number), overwrite=True)
                for key, number in KEYS.items()
            }

    def _choosing(self, number: int) -> Callable[[Layer], None]:
        # Not functools.partial: napari reads the __name__ of bound functions.
        def choose_class(_layer: Layer) -> None:
            self._choose(number)

        return choose_class
