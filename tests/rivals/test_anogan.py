"""AnoGAN: it learns to generate, its search finds what it generated, each image is searched for by itself."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from trainer_properties import digits

from minisvdd import AnoGAN
from minisvdd.experiments.experiments import area_under_roc
from minisvdd.nn.layers import BatchNorm, Conv2D, ConvTranspose2D, LeakyReLU
from minisvdd.rivals import latent
from minisvdd.rivals.dcgan import GAN_ARCHITECTURES, gan_for, make_gan
from minisvdd.rivals.game import Game
from minisvdd.rivals.latent import TOLERANCE, WINDOW, search, search_loss
from minisvdd.rivals.operations import add_to, keep_better, take_rows, weighted_sum
from minisvdd.svdd.preprocessing import ContrastNormalization

pytestmark = pytest.mark.slow

QUICK = {
    "latent_dim": 32,
    "epochs": 60,
    "learning_rate": 1e-3,
    "batch_size": 16,
    "search_steps": 60,
    "preprocessing": "gcn-l1",
    "threshold": "nu",
    "verbose": 0,
}


@pytest.fixture(scope="module")
def trained():
    return AnoGAN(**QUICK).fit(digits().train)


@pytest.fixture
def frozen(trained):
    """Generator and features of the trained model with frozen statistics, as the latent search needs them."""
    trained.network_.freeze_statistics()
    yield trained.network_.layers[:2]
    trained.network_.freeze_statistics(False)


def test_training_beats_random_weights(trained):
    split = digits()
    some = replace(split, test=split.test[::6], is_anomaly=split.is_anomaly[::6])
    untrained = AnoGAN(**{**QUICK, "epochs": 0}).fit(split.train)
    assert area_under_roc(trained, some) > 0.85
    assert area_under_roc(trained, some) > area_under_roc(untrained, some) + 0.05


def test_generated_images_look_like_the_training_images(trained, rng):
    """The mean over many z is near the mean image: far nearer than a grey image, and than the untrained generator."""
    train = trained.preprocessing_.transform(digits().train)
    generated = trained.generate(rng.standard_normal((200, 32)))
    assert generated.shape == (200, 1, 8, 8)
    assert 0 <= generated.min() <= generated.max() <= 1
    distance = np.abs(generated.mean(axis=0) - train.mean(axis=0)).mean()
    assert distance < 0.5 * np.abs(0.5 - train.mean(axis=0)).mean()
    assert generated.std(axis=0).mean() > 0.2 * train.std(axis=0).mean(), "all images alike: the generator collapsed"


def test_the_game_keeps_both_players_alive(trained):
    history = trained.history_
    assert history["epoch"] == list(range(1, 61))
    assert 0.02 < history["discriminator_loss"][-1] < 2
    assert np.isfinite(history["generator_loss"]).all()


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 300), (70, 5)])
def test_what_stands_between_the_passes(rows, columns, backend, dtype, rng):
    x, y = (rng.standard_normal((rows, columns)).astype(dtype) for _ in range(2))
    np.testing.assert_allclose(weighted_sum.on(backend)(x, y, 0.3, -2.0), 0.3 * x - 2 * y, rtol=1e-5, atol=1e-6)
    total = x.copy()
    add_to.on(backend)(total, y)
    np.testing.assert_array_equal(total, x + y)
    order = rng.integers(rows, size=2 * rows).astype(np.int32)
    np.testing.assert_array_equal(take_rows.on(backend)(x, order), x[order])
    losses, best = (rng.integers(3, size=rows).astype(dtype) for _ in range(2))  # ties too
    losses[rows // 2] = np.nan
    points, smallest = x.copy(), best.copy()
    keep_better.on(backend)(losses, y, smallest, points)
    better = losses < best
    np.testing.assert_array_equal(smallest, np.where(better, losses, best))
    np.testing.assert_array_equal(points, np.where(better[:, None], y, x))


def test_the_search_finds_a_generated_image(trained, frozen, rng):
    """An image g(z*) is reached from another point: its loss falls far below that of a shuffled one."""
    generator, features = frozen
    x = generator.forward(rng.standard_normal((6, 32)).astype(np.float32))
    shuffled = rng.permuted(x.reshape(6, -1), axis=1).reshape(x.shape)
    z = np.tile(trained.start_, (6, 1))
    settings = {"steps": 300, "learning_rate": 0.05}
    found, lost = (search(generator, features, images, z, **settings) for images in (x, shuffled))
    start = search(generator, features, x, z, steps=0, learning_rate=0.05)
    assert (found.losses < 0.5 * start.losses).all()
    assert found.losses.mean() < 0.5 * lost.losses.mean()


def test_the_losses_are_those_at_the_points_found(trained):
    X = digits().test[:5]
    found = trained.search(X)
    generator, features, _ = trained.network_.layers
    x = 2 * trained.preprocessing_.transform(X) - 1
    trained.network_.freeze_statistics()
    losses, _ = search_loss(generator, features, found.z, x, features.forward(x))
    trained.network_.freeze_statistics(False)
    np.testing.assert_allclose(losses, found.losses, rtol=1e-4)
    residual = 0.9 * np.abs(x - (2 * trained.generate(found.z) - 1)).sum(axis=(1, 2, 3))
    assert (residual < losses).all()
    np.testing.assert_array_equal(trained.anomaly_score(X), found.losses)


def test_who_leaves_a_search_does_not_change_the_walk_of_the_others(trained, frozen, rng, monkeypatch):
    """Points, gradients, both moments and the number of steps go on as they were."""
    generator, features = frozen
    x = 2 * trained.preprocessing_.transform(digits().test[:12]) - 1
    z, settings = np.tile(trained.start_, (12, 1)), {"steps": 6, "learning_rate": 0.1}
    monkeypatch.setattr(latent, "WINDOW", 3)
    monkeypatch.setattr(latent, "TOLERANCE", -1)  # nobody leaves
    whole = search(generator, features, x, z, **settings)
    first = search(generator, features, x, z, **{**settings, "steps": 3})
    start = search(generator, features, x, z, **{**settings, "steps": 0})
    fallen = np.sort((start.losses - first.losses) / start.losses)
    monkeypatch.setattr(latent, "TOLERANCE", fallen[5:7].mean())
    found = search(generator, features, x, z, **settings)
    stayed = found.steps == 6
    assert stayed.sum() == 6
    np.testing.assert_allclose(found.losses[stayed], whole.losses[stayed], rtol=1e-5)
    np.testing.assert_allclose(found.losses[found.steps == 3], first.losses[found.steps == 3], rtol=1e-5)


def test_the_score_of_an_image_depends_on_no_other(trained):
    X = digits().test[:7]
    together = trained.anomaly_score(X)
    alone = np.concatenate([trained.anomaly_score(X[i : i + 1]) for i in (3, 0)])
    np.testing.assert_allclose(alone, together[[3, 0]], rtol=2e-3)  # sign(y - x) may flip where rounding decides


def test_more_steps_never_raise_the_loss(trained):
    X = digits().test[:10]
    losses = []
    for steps in (0, 10, 40):
        model = AnoGAN(**{**QUICK, "search_steps": steps})
        model.__dict__.update({name: value for name, value in vars(trained).items() if name.endswith("_")})
        losses.append(model.anomaly_score(X))
    assert (losses[1] < losses[0]).all()
    assert (losses[2] <= losses[1]).all()


def test_an_image_stops_when_it_has_converged(trained, frozen):
    """An image that the search starts from cannot get any better: it stops after the second window."""
    generator, features = frozen
    z = np.tile(trained.start_, (2, 1))
    own = generator.forward(z[:1])
    x = np.concatenate([own, 1 - own])
    found = search(generator, features, x, z, steps=4 * WINDOW, learning_rate=0.02)
    assert found.converged[0]
    assert found.steps[0] == WINDOW
    assert found.losses[0] < 1e-3 < found.losses[1]
    assert found.steps[1] > WINDOW


def test_convergence_is_measured_over_the_last_window(trained, frozen):
    """An image stops at the first multiple of WINDOW where its best loss fell by less than TOLERANCE since the last."""
    generator, features = frozen
    x = generator.backend.asarray(2 * trained.preprocessing_.transform(digits().test[:8]) - 1)
    z, windows = np.tile(trained.start_, (8, 1)), range(6)
    found = [search(generator, features, x, z, steps=n * WINDOW, learning_rate=0.02) for n in windows]
    assert 0 < found[-1].converged.sum() < 8
    for image in np.flatnonzero(found[-1].converged):
        loss = [part.losses[image] for part in found]
        fallen = [before - after for before, after in pairwise(loss)]
        first = next(n for n in windows if fallen[n] < TOLERANCE * loss[n])
        assert first > 0
        assert found[-1].steps[image] == (first + 1) * WINDOW


def test_feature_loss_has_weight_one_tenth_by_default(trained, frozen):
    generator, features = frozen
    x = 2 * trained.preprocessing_.transform(digits().test[:3]) - 1
    z = np.tile(trained.start_, (3, 1))
    default = search(generator, features, x, z, steps=3, learning_rate=0.02)
    tenth = search(generator, features, x, z, steps=3, learning_rate=0.02, feature_weight=0.1)
    np.testing.assert_array_equal(default.losses, tenth.losses)


def test_many_images_are_searched_in_batches(trained, monkeypatch):
    X = digits().test[:7]
    monkeypatch.setattr("minisvdd.rivals.anogan._SEARCH_BATCH", 3)
    found = trained.search(X)
    monkeypatch.undo()
    assert found.z.shape == (7, 32)
    np.testing.assert_allclose(found.losses, trained.search(X).losses, rtol=2e-3)  # as for single images


def test_same_seed_same_scores():
    split = digits()
    quick = {**QUICK, "epochs": 2, "search_steps": 3}
    scores = [AnoGAN(**quick, random_state=seed).fit(split.train).anomaly_score(split.test[:9]) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


@pytest.mark.compiler
def test_the_emulated_kernels_play_the_same_game():
    """Training and search on the kernel backends: the losses and scores of NumPy, up to rounding."""
    split, tiny = digits(), {**QUICK, "epochs": 1, "latent_dim": 8, "batch_size": 8, "search_steps": 1}
    models = [AnoGAN(**tiny, backend=backend).fit(split.train[:16]) for backend in ("numpy", "emulator")]
    for name in ("discriminator_loss", "generator_loss"):
        np.testing.assert_allclose(models[1].history_[name], models[0].history_[name], rtol=1e-5)
    scores = [model.anomaly_score(split.test[:4]) for model in models]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-5)


def test_threshold_leaves_nu_outside(trained):
    """The first of the others lies on the threshold, and is inside."""
    train = digits().train
    assert np.sum(trained.predict(train) == -1) == len(train) // 10


@pytest.mark.parametrize(
    ("name", "shape", "channels"),
    [
        ("mnist_dcgan", (1, 28, 28), (64, 32)),
        ("cifar10_dcgan", (3, 32, 32), (128, 64, 32)),
        ("small_dcgan", (2, 8, 12), (32, 16)),
    ],
)
def test_networks(name, shape, channels):
    network = make_gan(name, shape, latent_dim=256)
    assert network.build((256,), np.random.default_rng(0)) == (1,)
    generator, features, head = network.layers
    assert generator.output_shape == shape
    assert GAN_ARCHITECTURES[name].channels == channels
    images = generator.forward(np.zeros((2, 256), np.float32))
    assert np.abs(images).max() <= 1
    assert features.forward(images).shape == (2, features.output_shape[0])
    assert head.output_shape == (1,)
    assert gan_for(shape) == name
    layers = [layer for part in (generator, features) for layer in part.layers]
    assert {layer.slope for layer in layers if isinstance(layer, LeakyReLU)} == {0.2}, "as in DCGAN"
    # A batch norm takes away any constant: only where none follows, at the pixels of either network, is there a bias.
    for layer, following in pairwise(layers):
        if isinstance(layer, Conv2D | ConvTranspose2D):
            assert ("bias" in layer.params) == (not isinstance(following, BatchNorm))
        assert not isinstance(layer, BatchNorm) or layer.affine, "nobody can collapse here: a shift does no harm"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"latent_dim": 0}, "latent_dim=0"),
        ({"search_steps": -1}, "search_steps=-1"),
        ({"feature_weight": 1.5}, "feature_weight=1.5"),
        ({"network": "lenet"}, "network='lenet'"),
        ({"network": "mnist_dcgan"}, "28x28, got 8x8"),
        ({"batch_size": 1}, "batch_size=1"),
    ],
)
def test_mistakes_name_the_argument(changes, words):
    with pytest.raises(ValueError, match=words):
        AnoGAN(**{**QUICK, **changes}).fit(digits().train)


def test_features_are_no_images(trained):
    with pytest.raises(ValueError, match="expects images"):
        AnoGAN(**{**QUICK, "preprocessing": None}).fit(np.ones((5, 7)))
    with pytest.raises(ValueError, match="multiples of 4"):
        AnoGAN(**QUICK).fit(np.random.default_rng(0).uniform(size=(5, 1, 10, 8)))
    with pytest.raises(ValueError, match=r"z has shape \(3, 31\)"):
        trained.generate(np.zeros((3, 31)))


def test_images_are_mapped_to_the_range_of_tanh(trained):
    assert isinstance(trained.preprocessing_, ContrastNormalization)
    scaled = trained.preprocessing_.transform(digits().train)
    assert (scaled.min(), scaled.max()) == (0, 1)


def test_the_first_moment_of_both_players_forgets_half_of_it_in_a_step(rng):
    """beta1 = 0.5, as in DCGAN: after one step m = (1 - beta1) g and v = (1 - beta2) g^2, so that m^2 / v = 250."""
    network = make_gan("small_dcgan", (1, 8, 8), 16)
    network.build((16,), rng, np.float64)
    X = rng.random((20, 1, 8, 8))
    game = Game(network, 1e-3, rng, X)
    game.start([np.arange(20)])
    for optimizer in (game.optimizer.discriminator, game.optimizer.generator):
        for name, first in optimizer.first_moment.items():
            second = optimizer.second_moment[name]
            told = second > 1e-20
            np.testing.assert_allclose(first[told] ** 2 / second[told], 250, rtol=1e-6)


@pytest.mark.parametrize("feature_weight", [0.0, 0.1, 0.7, 1.0])
def test_the_gradient_of_the_search_is_that_of_its_loss(feature_weight, rng):
    """In a drawn direction, by central differences in float64; row i is that of loss i alone."""
    network = make_gan("small_dcgan", (1, 8, 8), 16)
    network.build((16,), rng, np.float64)
    network.freeze_statistics()
    generator, features, _ = network.layers
    z, x, direction = rng.standard_normal((3, 16)), rng.random((3, 1, 8, 8)), rng.standard_normal((3, 16))

    def losses(at):
        return search_loss(generator, features, at, x, features.forward(x), feature_weight)

    h = 1e-6
    slopes = (losses(z + h * direction)[0] - losses(z - h * direction)[0]) / (2 * h)
    np.testing.assert_allclose((losses(z)[1] * direction).sum(axis=1), slopes, rtol=1e-6, atol=1e-8)
