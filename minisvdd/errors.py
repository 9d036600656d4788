"""The exceptions and warnings a caller can catch by name."""


class DataError(ValueError):
    """A data set, image file or saved model cannot be read: says which file and what was expected."""


def one_line(error: BaseException) -> str:
    """What an exception says, without line breaks; its name if it says nothing."""
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


class CollapseWarning(UserWarning):
    """The network maps (almost) everything to one point, so its scores mean nothing (paper, section 3.3)."""


class ThresholdWarning(UserWarning):
    """The threshold is not the one asked for: too few normal samples to hold some out of training."""


class RangeWarning(UserWarning):
    """Values and what is to compute with them do not fit together: a decoder that ends below them, float32."""


class TrainingWarning(UserWarning):
    """Training has made a detector worse, or seems to have."""
