"""Tells every window of this program that the list of the user's own models has changed."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal


class UserModelChanges(QObject):
    """To be emitted by whoever adds, renames or deletes a model.

    Signals
    -------
    changed : ()
    renamed : (old name, new name)
        Comes before `changed`, so that a choice of the old name can follow.
    made : (name,)
        A new one was fine-tuned; comes after `changed`, so that it can be chosen.
    """

    changed = Signal()
    renamed = Signal(str, str)
    made = Signal(str)


user_models = UserModelChanges()
"""The one of this program."""
