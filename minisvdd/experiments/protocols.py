"""Training protocols by name: the one place where epochs, rates and decays stand. CLI, lectures and tests read it here.

`paper`         section 4.2: DCAE 250 + 100 epochs, Deep SVDD 150 + 100, learning rate 1e-4 then 1e-5, lambda 1e-6
`authors-code`  schedules of the authors' later port: Deep SVDD 50 + 100 epochs; on MNIST a DCAE of 150 epochs with
                weight decay 1e-3; leaky ReLU of slope 0.01; their own rule for the radius (`minisvdd.svdd.radius`)
`authors-theano` what the authors' first scripts of 2018 do, from which the paper's numbers come, and the paper does not
                say: `authors-code` and, each an argument of its own, batch norm with scale and shift, larger draws,
                first filters from a dictionary, batches of fixed members, a radius that begins as a quantile, and other
                pre-processing of the shallow methods. `CHOICES` has them one by one
`best`          ours: One-Class without pre-training, with first filters from a dictionary and a twelfth of the paper's
                epochs; the dictionary was chosen for each class by the gains of the others (`benchmarks/best.py`)
`quick`         ours: minutes instead of hours, the default on the embedded digits; for data of one's own it counts
                gradient steps, not epochs, since a hundred images in one batch would train for 25 steps
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..nn.batches import fixed_batches
from ..nn.init import leaky_gain
from ..svdd.patches import count, patch_shape
from ..validation import check_choice


@dataclass(frozen=True)
class Protocol:
    """Arguments of `DeepSVDD` that a protocol fixes, under the names of its constructor, and what it trains on.

    network: None for the one made for samples of this shape.   preprocessing: "auto" for that made for such samples.
    held_out: share of the training samples that it leaves out (`minisvdd.experiments.experiments.kept_by`).
    """

    pretrain_epochs: int = 350
    pretrain_milestones: tuple[int, ...] = (250,)
    pretrain_weight_decay: float = 1e-6
    epochs: int = 250
    milestones: tuple[int, ...] = (150,)
    learning_rate: float = 1e-4
    weight_decay: float = 1e-6
    batch_size: int = 200
    slope: float = 0.1
    radius_update: str = "exact"
    network: str | None = None
    preprocessing: str = "auto"
    affine: bool = False
    gain: float = 1.0
    first_filters: str = "random"
    batches: str = "shuffled"
    quantile_epochs: int = 0
    statistics: str = "collected"
    held_out: float = 0.0


WIDTHS = ("grid", "largest", "unscaled")


@dataclass(frozen=True)
class ShallowProtocol:
    """How the shallow methods are run: pre-processing, width of the kernels, and what OC-SVM's AUC is computed on.

    svm, kde, forest: `preprocessing` of each, "auto" for that made for such samples.   exponents: of 2, KDE's
    bandwidths.   apart: whether the tenth of the test set by which gamma is chosen is left out of the AUC.
    pca: whether OC-SVM and KDE work on principal components.   nus: of OC-SVM; the better one is reported.
    width: "grid" for the paper's choices. "largest" for OC-SVM's gamma, and the bandwidth of a KDE with exponential
    kernel, by the largest squared distance of two training samples. "unscaled" for the first gamma, and any bandwidth,
    as they are on images whose magnitudes sum to 1: so wide that KDE ranks by the distance to the mean, and that the
    solver of OC-SVM stops where it starts.
    """

    svm: str = "auto"
    kde: str = "auto"
    forest: str = "auto"
    exponents: tuple[float, ...] = tuple(k / 2 for k in range(1, 11))
    apart: bool = False
    pca: bool = True
    width: str = "grid"
    nus: tuple[float, ...] = (0.01, 0.1)

    def __post_init__(self) -> None:
        check_choice(self.width, "width", WIDTHS)


@dataclass(frozen=True)
class GanProtocol:
    """Arguments of `AnoGAN` that a protocol fixes, and how many test images are scored.

    test_images: None for all; else so many, drawn at random (the same for every seed and class of one data set).
    """

    epochs: int = 100
    learning_rate: float = 2e-4
    batch_size: int = 64
    latent_dim: int = 256
    search_steps: int = 500
    search_learning_rate: float = 0.02
    feature_weight: float = 0.1
    test_images: int | None = None


_PAPER = Protocol()
_AUTHORS = replace(_PAPER, epochs=150, milestones=(50,), slope=0.01, radius_update="authors-theano")
_BEST = replace(_PAPER, pretrain_epochs=0, epochs=50, milestones=(30,), first_filters="dictionary")
_QUICK = Protocol(10, (8,), 1e-6, 15, (10,), 1e-3)

# What the authors' first scripts do beyond `authors-code`, one choice each: the rows of an ablation.
CHOICES = {
    "affine": {"affine": True},
    "gain": {"gain": leaky_gain(0.01)},
    "dictionary": {"first_filters": "dictionary"},
    "fixed batches": {"batches": "fixed"},
    "quantile": {"quantile_epochs": 10},
    "statistics": {"statistics": "running"},
}
# The networks that a choice acts on, where these are not all: R is soft-boundary's, and no autoencoder has a centre.
_ACTS_ON = {"quantile": ("soft-boundary",), "statistics": ("soft-boundary", "one-class")}
_NETWORKS = ("dcae", "soft-boundary", "one-class")
_THEANO = replace(_AUTHORS, **{name: value for choice in CHOICES.values() for name, value in choice.items()})

# The paper's for stop signs, which have the shape of CIFAR-10's images but a smaller network and smaller batches.
_SIGNS = {"batch_size": 64, "network": "gtsrb_lenet"}
# Everything else is the default of its protocol.
_EXCEPTIONS = {
    ("paper", "gtsrb"): _SIGNS,
    ("authors-code", "gtsrb"): _SIGNS,
    ("best", "gtsrb"): _SIGNS,
    ("authors-code", "mnist"): {"pretrain_epochs": 150, "pretrain_milestones": (), "pretrain_weight_decay": 1e-3},
    ("authors-theano", "cifar10"): {
        "network": "cifar10_normed",
        "first_filters": "mixed dictionary",
        "held_out": 0.2,
    },
    # a revision of the scripts that is not the paper's text: perhaps not what made table 2
    ("authors-theano", "gtsrb"): {
        "batch_size": 64,
        "network": "gtsrb_small",
        "preprocessing": "min-max",
        "first_filters": "mixed dictionary",
    },
    ("quick", "gtsrb"): {**_SIGNS, "pretrain_epochs": 30, "pretrain_milestones": (25,)},
    ("quick", "digits"): {
        "pretrain_epochs": 100,
        "pretrain_milestones": (80,),
        "epochs": 100,
        "milestones": (80,),
        "batch_size": 32,
    },
}
_EXCEPTIONS["authors-theano", "mnist"] = _EXCEPTIONS["authors-code", "mnist"]
PROTOCOLS = {"paper": _PAPER, "authors-code": _AUTHORS, "authors-theano": _THEANO, "best": _BEST, "quick": _QUICK}


# Schlegl et al. fix the latent search (500 steps, weights 0.9 and 0.1), DCGAN the optimiser; the paper only the latent
# dimension. How many epochs it trained is not known: 100 is ours.
_GAN_PAPER = GanProtocol()
_GAN_QUICK = GanProtocol(epochs=20, search_steps=100, test_images=1000)
_GAN_EXCEPTIONS = {
    ("quick", "digits"): {
        "epochs": 100,
        "learning_rate": 1e-3,
        "batch_size": 16,
        "search_steps": 60,
        "test_images": None,
    },
}
_GAN_PROTOCOLS = {**dict.fromkeys(PROTOCOLS, _GAN_PAPER), "quick": _GAN_QUICK}

# Of the first scripts: no contrast normalisation of stop signs for any method; bandwidths beside the paper's, down to
# 2^-4.5; gamma by a tenth of the test set, AUC on the other nine. Their other branch, without a search, gave what is
# printed for MNIST: neither contrast normalisation nor PCA for OC-SVM and KDE, and widths by the largest distance.
# Their search for gamma compares an array with itself, and keeps the first, 2^-10; with images that were not scaled to
# [0, 1] after contrast normalisation, this is what is printed for CIFAR-10.
_SCRIPTS = ShallowProtocol(exponents=tuple(k / 2 for k in range(-9, 11)), apart=True)
_SHALLOW = {
    ("authors-theano", "mnist"): ShallowProtocol("min-max", "min-max", pca=False, width="largest", nus=(0.1,)),
    ("authors-theano", "cifar10"): replace(_SCRIPTS, width="unscaled", nus=(0.1,)),
    ("authors-theano", "gtsrb"): replace(_SCRIPTS, svm="min-max", kde="min-max", forest="min-max"),
}


# What `quick` means for other data than the tables': batches of a quarter of the samples, within bounds, fewer of large
# images; and in both trainings as many epochs as there, but at least and at most about so many steps.
_LEAST_STEPS, _MOST_STEPS = 500, 2000
_SMALLEST_BATCH, _LARGEST_BATCH = 8, 200
_BATCH_PIXELS = 1 << 16  # rows x columns of all images of a batch: 16 of 64x64
_NAMED = ("digits", "mnist", "cifar10", "gtsrb")


# The stop signs of table 2 are a file of their own (`minisvdd.attack.adversarial`).
_SAME_AS = {"stop-signs": "gtsrb"}


def get_protocol(
    name: str, dataset: str, shape: tuple[int, ...] | None = None, patch_size: str | int | None = "auto"
) -> Protocol:
    """The protocol of that name for a data set ("digits", "mnist", "cifar10", "gtsrb", or any other).

    shape: of the training samples, (n, ...); `quick` goes by it, and by the size of patches (as in `DeepSVDD`), where
    it does not know the data set.
    Raises ValueError for an unknown name.

    >>> quick = get_protocol("quick", "tiles", (150, 3, 64, 64))
    >>> quick.batch_size, quick.pretrain_epochs, quick.epochs, quick.milestones
    (16, 50, 50, (33,))
    """
    check_choice(name, "protocol", PROTOCOLS)
    dataset = _SAME_AS.get(dataset, dataset)
    protocol = replace(PROTOCOLS[name], **_EXCEPTIONS.get((name, dataset), {}))
    if name != "quick" or dataset in _NAMED or shape is None:
        return protocol
    patch = patch_shape(shape[1:], patch_size)
    n = shape[0] * count(shape[1:], patch)
    most = min(_LARGEST_BATCH, _BATCH_PIXELS // math.prod(patch[1:]))
    batch = max(_SMALLEST_BATCH, min(n // 4, most))
    least, limit = (math.ceil(steps / len(fixed_batches(n, batch))) for steps in (_LEAST_STEPS, _MOST_STEPS))
    return adjusted(
        protocol,
        batch_size=batch,
        pretrain_epochs=max(least, min(limit, protocol.pretrain_epochs)),
        epochs=max(least, min(limit, protocol.epochs)),
    )


def arguments_of(protocol: Protocol) -> dict[str, Any]:
    """Those of `DeepSVDD`, by name: all but the share of samples that is held out."""
    return {name: value for name, value in asdict(protocol).items() if name != "held_out"}


def get_shallow_protocol(name: str, dataset: str) -> ShallowProtocol:
    """The shallow methods' part of the protocol of that name. Raises ValueError for an unknown name."""
    get_protocol(name, dataset)
    default = _SCRIPTS if name == "authors-theano" else ShallowProtocol()
    return _SHALLOW.get((name, _SAME_AS.get(dataset, dataset)), default)


def adjusted(
    protocol: Protocol,
    epochs: int | None = None,
    pretrain_epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    choices: Collection[str] = (),
) -> Protocol:
    """The protocol with other values where one is given; milestones stay at their fraction of the epochs.

    choices: names in `CHOICES`, made on top of it.
    """
    given = {
        "epochs": epochs,
        "pretrain_epochs": pretrain_epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }
    chosen = {name: value for choice in choices for name, value in CHOICES[choice].items()}
    changed = replace(protocol, **chosen, **{name: value for name, value in given.items() if value is not None})
    return replace(
        changed,
        milestones=_moved(protocol.milestones, protocol.epochs, changed.epochs),
        pretrain_milestones=_moved(protocol.pretrain_milestones, protocol.pretrain_epochs, changed.pretrain_epochs),
    )


def acts_on(choice: str, methods: Collection[str]) -> bool:
    """Whether one of `CHOICES`, by name, makes a difference to any of these methods."""
    return any(method in _ACTS_ON.get(choice, _NETWORKS) for method in methods)


def _moved(milestones: Sequence[int], old: int, new: int) -> tuple[int, ...]:
    return tuple(milestones) if new == old else tuple(round(m * new / max(1, old)) for m in milestones)


def get_gan_protocol(name: str, dataset: str) -> GanProtocol:
    """AnoGAN's part of the protocol of that name. Raises ValueError for an unknown name."""
    get_protocol(name, dataset)
    return replace(_GAN_PROTOCOLS[name], **_GAN_EXCEPTIONS.get((name, dataset), {}))
