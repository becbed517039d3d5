"""The one exception that means 'the user can mend this'."""


class InputError(ValueError):
    """A user's mistake, told in one sentence that says what is wrong and how to mend it.

    The command line prints the sentence and exits with 2, the plugin shows it as a notification;
    neither shows a traceback.
    """
