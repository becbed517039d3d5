"""Progress of a search for objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Report = Callable[[int, int, str], object]
"""Called with the steps done, the steps in total, and a message; may raise to stop the work."""


class Steps:
    """Count the frames that are sampled, split, linked and measured.

    Parameters
    ----------
    report : callable
    sizes : mapping of str to int
        Length of each axis of the labels.
    linked : bool
        Whether objects are linked.
    sampled : int
        Number of frames from which the typical object is estimated.
    """

    def __init__(
        self, report: Report, sizes: Mapping[str, int], *, linked: bool, sampled: int
    ) -> None:
        self._report = report
        self._done = 0
        times, planes = sizes.get("T", 1), sizes.get("Z", 1)
        self._total = sampled + 2 * times * planes
        if linked:
            # First along Z, then along T.
            self._total += times * planes + (times if len(sizes) == 4 else 0)

    def __call__(self, message: str) -> None:
        """Report the start of a step."""
        self._report(self._done, self._total, message)
        self._done += 1
