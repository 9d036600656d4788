"""Networks: layers with hand-written backward passes, losses, optimisers, and the one trainer."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .batches import evaluation_batch as evaluation_batch
    from .batches import fixed_batches as fixed_batches
    from .batches import for_evaluation as for_evaluation
    from .batches import input_gradients as input_gradients
    from .batches import outputs as outputs
    from .batches import outputs_in_parts as outputs_in_parts
    from .batches import shuffled_batches as shuffled_batches
    from .init import glorot_uniform as glorot_uniform
    from .layer import Layer as Layer
    from .layer import Network as Network
    from .layers import BatchNorm as BatchNorm
    from .layers import Conv2D as Conv2D
    from .layers import ConvTranspose2D as ConvTranspose2D
    from .layers import Flatten as Flatten
    from .layers import LeakyReLU as LeakyReLU
    from .layers import Linear as Linear
    from .layers import MaxPool2D as MaxPool2D
    from .layers import ReLU as ReLU
    from .layers import Reshape as Reshape
    from .layers import Sigmoid as Sigmoid
    from .layers import Tanh as Tanh
    from .layers import Upsample as Upsample
    from .losses import AbsoluteError as AbsoluteError
    from .losses import BinaryCrossEntropy as BinaryCrossEntropy
    from .losses import Loss as Loss
    from .losses import MeanSquaredError as MeanSquaredError
    from .losses import OneClass as OneClass
    from .losses import SoftBoundary as SoftBoundary
    from .losses import SoftmaxCrossEntropy as SoftmaxCrossEntropy
    from .networks import Sequential as Sequential
    from .networks import make_autoencoder as make_autoencoder
    from .networks import make_classifier as make_classifier
    from .networks import make_decoder as make_decoder
    from .networks import make_encoder as make_encoder
    from .networks import network_for as network_for
    from .networks import start_weights as start_weights
    from .optim import SGD as SGD
    from .optim import Adam as Adam
    from .optim import StepSchedule as StepSchedule
    from .training import Plan as Plan
    from .training import Training as Training
    from .training import train_epoch as train_epoch

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        ".batches": "evaluation_batch fixed_batches for_evaluation input_gradients outputs outputs_in_parts "
        "shuffled_batches",
        ".init": "glorot_uniform",
        ".layer": "Layer Network",
        ".layers": "BatchNorm Conv2D ConvTranspose2D Flatten LeakyReLU Linear MaxPool2D ReLU Reshape Sigmoid Tanh "
        "Upsample",
        ".losses": "AbsoluteError BinaryCrossEntropy Loss MeanSquaredError OneClass SoftBoundary SoftmaxCrossEntropy",
        ".networks": "Sequential make_autoencoder make_classifier make_decoder make_encoder network_for start_weights",
        ".optim": "Adam SGD StepSchedule",
        ".training": "Plan Training train_epoch",
    },
)
