"""The exceptions and warnings a caller can catch by name, and what they say: one line, short enough to be read."""

LONGEST = 300  # characters of a message


def one_line(error: BaseException | str) -> str:
    """What an exception, or a text, says: printable, on one line of at most 300 characters.

    An exception that says nothing gives its name. Names and numbers of a damaged file may be as long as the file,
    and hold what clears a terminal. What is too long loses its middle: its beginning names the file, its end says what
    was expected.
    """
    said = str(getattr(error, "strerror", None) or error)
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(said.split()))
    if len(text) > LONGEST:
        text = f"{text[: LONGEST * 2 // 3 - 5]} ... {text[-LONGEST // 3 :]}"
    return text or type(error).__name__


class DataError(ValueError):
    """A data set, image file or saved model cannot be read: says which file and what was expected, by `one_line`."""

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message) if message else "")


class CollapseWarning(UserWarning):
    """The network maps (almost) everything to one point, so its scores mean nothing (paper, section 3.3)."""


class ThresholdWarning(UserWarning):
    """The threshold is not the one asked for: too few normal samples to hold some out of training."""


class RangeWarning(UserWarning):
    """Values and what is to compute with them do not fit together: a decoder that ends below them, float32."""


class TrainingWarning(UserWarning):
    """Training has made a detector worse, or seems to have."""
