"""The exception for mistakes that the user can fix."""

LONGEST_REASON = 300
"""Largest number of letters of the text of another error, which may quote a damaged file."""


class InputError(ValueError):
    """A mistake of the user, with one sentence that says what is wrong and how to fix it.

    The command line prints the sentence and exits with status 2; the plugin shows it as a
    notification. Neither shows a traceback.
    """


def reason(error: Exception) -> str:
    r"""Return the text of another error for a sentence: on one line, short, without a full stop.

    Examples
    --------
    >>> reason(ValueError("wrong\n  number."))
    'wrong number'
    """
    try:
        text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    except RecursionError:
        text = type(error).__name__
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 3]}..."
