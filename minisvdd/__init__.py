"""minisvdd: deep one-class classification from first principles."""

__version__ = "0.1.0"

from .anogan import AnoGAN
from .autoencoder import Autoencoder
from .checkpoint import Checkpoint
from .datasets import load_dataset
from .errors import CollapseWarning, DataError
from .gradcheck import gradcheck
from .storage import load_model
from .svdd import DeepSVDD

__all__ = [
    "AnoGAN",
    "Autoencoder",
    "Checkpoint",
    "CollapseWarning",
    "DataError",
    "DeepSVDD",
    "gradcheck",
    "load_dataset",
    "load_model",
]
