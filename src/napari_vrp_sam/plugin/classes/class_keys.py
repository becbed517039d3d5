"""The keys 1 to 9, which choose a class while an annotation layer is active."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.layers import Layer

KEYS = tuple(str(number) for number in range(1, 10))


class ClassKeys:
    """Binds the keys on one layer at a time, and gives back what they did on it before.

    napari chooses tools by number, and by letter as well; key 1 deletes the selected points. A
    key without a class does nothing, then: it would take the user by surprise.
    """

    def __init__(self, choose: Callable[[int], None]) -> None:
        self._choose = choose
        self._layer: Layer | None = None
        self._before: dict[str, Any] = {}

    def bind(self, layer: Layer | None) -> None:
        """Let the keys choose classes while this layer is active; nowhere, if there is none."""
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
        # No partial: napari asks for the name of each function that is bound.
        def choose_class(_layer: Layer) -> None:
            self._choose(number)

        return choose_class
