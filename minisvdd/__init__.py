"""minisvdd: deep one-class classification from first principles."""

from typing import TYPE_CHECKING

from .lazy import lazy_names
from .version import __version__ as __version__

if TYPE_CHECKING:  # the same names once more, for editors and type checkers, which do not run the table below
    from .attack.classifier import SoftmaxClassifier as SoftmaxClassifier
    from .backends import KernelError as KernelError
    from .data.datasets import load_dataset as load_dataset
    from .data.folders import load_images as load_images
    from .errors import CollapseWarning as CollapseWarning
    from .errors import DataError as DataError
    from .errors import RangeWarning as RangeWarning
    from .errors import ThresholdWarning as ThresholdWarning
    from .errors import TrainingWarning as TrainingWarning
    from .files.checkpoint import Checkpoint as Checkpoint
    from .gradcheck.check import check_gradients as check_gradients
    from .rivals.anogan import AnoGAN as AnoGAN
    from .rivals.density import KernelDensity as KernelDensity
    from .rivals.forest import IsolationForest as IsolationForest
    from .rivals.svm import OneClassSVM as OneClassSVM
    from .svdd.autoencoder import Autoencoder as Autoencoder
    from .svdd.storage import load_model as load_model
    from .svdd.svdd import DeepSVDD as DeepSVDD

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        ".attack.classifier": "SoftmaxClassifier",
        ".backends": "KernelError",
        ".data.datasets": "load_dataset",
        ".data.folders": "load_images",
        ".errors": "CollapseWarning DataError RangeWarning ThresholdWarning TrainingWarning",
        ".files.checkpoint": "Checkpoint",
        ".gradcheck.check": "check_gradients",
        ".rivals.anogan": "AnoGAN",
        ".rivals.density": "KernelDensity",
        ".rivals.forest": "IsolationForest",
        ".rivals.svm": "OneClassSVM",
        ".svdd.autoencoder": "Autoencoder",
        ".svdd.storage": "load_model",
        ".svdd.svdd": "DeepSVDD",
    },
)
