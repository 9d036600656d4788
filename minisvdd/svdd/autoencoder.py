"""The deep convolutional autoencoder (DCAE): pre-training of Deep SVDD, and a baseline (paper, section 4.1)."""

from copy import deepcopy
from functools import partial

import numpy as np

from ..backends import get_backend
from ..files.checkpoint import Checkpoint, history_of
from ..files.progress import Progress
from ..nn.batches import outputs
from ..nn.losses import MeanSquaredError
from ..nn.networks import Sequential
from ..nn.training import train_steps
from ..validation import (
    check_fitted,
    check_generator,
    check_milestones,
    check_number,
    check_test_samples,
    check_training_samples,
)
from .detector import TrainedDetector, decoder_for, encoder_for
from .preprocessing import make_preprocessing
from .radius import BOUNDARY_SLACK, exact_radius_squared
from .storage import storable


@storable
class Autoencoder(TrainedDetector):
    """Encoder and mirrored decoder, trained to reproduce normal samples; the score is the reconstruction error.

        min over weights of  1/n sum_i ||x_i - dec(enc(x_i))||^2 + lambda/2 sum ||W||^2
        score(x) = ||x - dec(enc(x))||^2,  summed over the pixels

    Parameters
    ----------
    network: name of a network of `minisvdd.nn.networks`, or an encoder (Sequential) together with `decoder`.
    epochs, learning_rate, milestones, weight_decay, batch_size: training with Adam; the learning rate is divided by 10
        at each milestone. Defaults are the paper's 250 + 100 epochs.
    slope: of the leaky ReLUs of a named network.
    nu: fraction of the training samples that the threshold `offset_` leaves outside.
    preprocessing: "gcn-l1", "standardize" or None, computed from the training samples and kept with the model.
    random_state: int, None or numpy.random.Generator.   verbose: 0 is silent.

    Attributes
    ----------
    network_: Sequential([encoder, decoder]).   history_: per-epoch lists.   offset_: threshold on `score_samples`.
    """

    def __init__(
        self,
        network="mnist_lenet",
        epochs=350,
        learning_rate=1e-4,
        milestones=(250,),
        weight_decay=1e-6,
        batch_size=200,
        slope=0.1,
        nu=0.1,
        decoder=None,
        preprocessing=None,
        backend="numpy",
        random_state=0,
        verbose=1,
    ):
        self.network = network
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.milestones = milestones
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.slope = slope
        self.nu = nu
        self.decoder = decoder
        self.preprocessing = preprocessing
        self.backend = backend
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None, checkpoint: Checkpoint | None = None) -> "Autoencoder":
        """Train on normal samples.  X: (n, C, H, W) or (n, D); y is ignored.

        checkpoint: where to write the state of the training, and perhaps to go on from (numpy backend only).
        Raises ValueError for bad input, DataError when a checkpoint cannot be written or is of another training.
        """
        self._check_parameters()
        X = check_training_samples(self, X)
        rng = check_generator(self.random_state)
        self.preprocessing_ = make_preprocessing(self.preprocessing, get_backend(self.backend))
        X = self.preprocessing_.fit_transform(X)
        encoder = encoder_for(self.network, self.input_shape_, self.slope)
        encoder.build(self.input_shape_, rng, backend=get_backend(self.backend))
        for _ in self.fit_encoder_steps(encoder, X, rng, checkpoint and partial(checkpoint.loop, "autoencoder", self)):
            pass
        return self

    def fit_encoder_steps(self, encoder, X, rng, checkpoint=None):
        """Put a decoder behind a built encoder, train both on pre-processed X: Deep SVDD's pre-training starts here.

        checkpoint: callable (X, state) that gives the loop's checkpoint, or None.
        A generator that yields whenever an epoch has been started.
        """
        self.input_shape_ = X.shape[1:]
        decoder = decoder_for(self.network, self.decoder, self.input_shape_, self.slope)
        output_shape = decoder.build(encoder.output_shape, rng, backend=encoder.backend)
        if output_shape != self.input_shape_:
            raise ValueError(f"decoder turns features into {output_shape}, but samples have shape {self.input_shape_}")
        self.network_ = join(encoder, decoder)
        self._check_batch_norm(self.network_)
        self.history_ = {"epoch": [], "loss": [], "learning_rate": [], "seconds": []}
        yield from self._train(X, rng, checkpoint)
        self.offset_ = -exact_radius_squared(self._scores(X), self.nu) * (1 + BOUNDARY_SLACK)

    def detach_encoder(self) -> None:
        """Give this autoencoder a copy of its encoder, so that training the original no longer changes it."""
        encoder, decoder = self.network_.layers
        self.network_ = join(deepcopy(encoder), decoder)

    def _train(self, X, rng, checkpoint):
        state = history_of(self)
        progress = Progress("autoencoder, epoch", self.epochs, self.verbose)

        def record(epoch, loss, learning_rate, seconds):
            for key, value in zip(self.history_, (epoch + 1, loss, learning_rate, seconds)):
                self.history_[key].append(value)
            progress.update(epoch + 1, f"loss {loss:.4g}")

        yield from train_steps(
            self.network_,
            MeanSquaredError(self.network_.backend),
            X,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            milestones=self.milestones,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            rng=rng,
            after_epoch=record,
            checkpoint=checkpoint and checkpoint(X, state),
        )

    def _check_parameters(self):
        super()._check_parameters()
        check_number(self.weight_decay, "weight_decay", 0)
        check_milestones(self.milestones)
        check_number(self.slope, "slope", 0, 1)

    def _set_state(self, values, arrays):
        super()._set_state(values, arrays)
        if self.network_.output_shape != self.input_shape_:
            raise ValueError(f"the network makes samples {self.network_.output_shape}, expected {self.input_shape_}")

    def reconstruct(self, X) -> np.ndarray:
        """dec(enc(x)) in the pre-processed scale (evaluation mode).  Returns an array shaped like X."""
        check_fitted(self)
        return outputs(self.network_, self.preprocessing_.transform(check_test_samples(self, X)))

    def _scores(self, X):
        difference = (X - outputs(self.network_, X)).reshape(len(X), -1).astype(np.float64)
        return (difference**2).sum(axis=1)


def join(encoder: Sequential, decoder: Sequential) -> Sequential:
    """Sequential([encoder, decoder]) of two built networks; both keep sharing their arrays with it."""
    network = Sequential([encoder, decoder])
    network.backend = encoder.backend
    network.input_shape, network.output_shape = encoder.input_shape, decoder.output_shape
    return network
