"""Signals that keep every widget of this process up to date with the user models."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal


class UserModelSignals(QObject):
    """Signals to emit after a user model was added, renamed or deleted.

    Signals
    -------
    changed : ()
    renamed : (old name, new name)
        Emitted before `changed`, so that a selection of the old name can follow.
    created : (name,)
        A model was fine-tuned; emitted after `changed`, so that the new model can be selected.
    """

    changed = Signal()
    renamed = Signal(str, str)
    created = Signal(str)


user_model_signals = UserModelSignals()
"""The only instance in this process."""
