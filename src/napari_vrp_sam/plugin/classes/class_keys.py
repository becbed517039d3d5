"""Key bindings 0 to 9, which choose a class while a layer that shows classes is active."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer

KEYS = tuple(str(number) for number in range(10))


class ClassKeys:
    """Bind the number keys on one layer at a time and restore its previous bindings afterwards.

    The keys shadow napari's tool shortcuts, which have letters as alternatives. Numbers without a
    class are bound, too: napari's key 1, for example, deletes the selected points.
    """

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
                key: layer.bind_key(key, self._choosing(int(key)), overwrite=True) for key in KEYS
            }

    def _choosing(self, number: int) -> Callable[[Layer], None]:
        # Not functools.partial: napari reads the __name__ of bound functions.
        def choose_class(_layer: Layer) -> None:
            self._choose(number)

        return choose_class
