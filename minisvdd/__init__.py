"""minisvdd: deep one-class classification from first principles."""

from .data.datasets import load_dataset
from .errors import CollapseWarning, DataError
from .files.checkpoint import Checkpoint
from .gradcheck import gradcheck
from .rivals.anogan import AnoGAN
from .svdd.autoencoder import Autoencoder
from .svdd.storage import load_model
from .svdd.svdd import DeepSVDD
from .version import __version__ as __version__

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
