"""The exception for mistakes that the user can fix."""


class InputError(ValueError):
    """A mistake of the user, with one sentence that says what is wrong and how to fix it.

    The command line prints the sentence and exits with status 2; the plugin shows it as a
    notification. Neither shows a traceback.
    """
