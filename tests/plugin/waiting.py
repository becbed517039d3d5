"""How long a window keeps a user waiting."""

import numpy as np
from qtpy.QtCore import QElapsedTimer, Qt, QTimer


class Stopwatch:
    """How long something that happens at any moment waits for the event loop, in milliseconds."""

    def __init__(self, parent):
        self._clock = QElapsedTimer()
        self.gaps = []
        self._timer = QTimer(parent)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._clock.start()
        self._timer.start(2)

    def _tick(self):
        self.gaps.append(self._clock.nsecsElapsed() / 1e6)
        self._clock.restart()

    def stop(self):
        self._timer.stop()
        return np.asarray(self.gaps)


def percentile(gaps, share):
    """Of the waiting time of an event that comes at a moment drawn from all of the time."""
    # In a gap g, waits from 0 to g are alike: P(wait > w) = sum(max(g - w, 0)) / sum(g).
    waits = np.linspace(0, gaps.max(), 10_000)
    longer = [np.maximum(gaps - wait, 0).sum() for wait in waits]
    return float(np.interp(share, 1 - np.asarray(longer) / gaps.sum(), waits))


def waiting(gaps, idle):
    """In words, beside the waiting in a window that does nothing else."""
    return (
        f"{gaps.sum() / 1000:.0f} s: 99 % of events wait less than {percentile(gaps, 0.99):.0f} ms "
        f"(99 % of {len(gaps)} gaps are under {np.percentile(gaps, 99):.0f} ms, the longest is "
        f"{gaps.max():.0f} ms); without a run {percentile(idle, 0.99):.0f} ms, "
        f"{np.percentile(idle, 99):.0f} ms and {idle.max():.0f} ms"
    )
