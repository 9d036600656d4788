"""Training protocols by name: the one place where epochs, rates and decays stand. CLI, lectures and tests read it here.

`paper`         section 4.2: DCAE 250 + 100 epochs, Deep SVDD 150 + 100, learning rate 1e-4 then 1e-5, lambda 1e-6
`authors-code`  the authors' published scripts: Deep SVDD 50 + 100 epochs; on MNIST a DCAE of 150 epochs with weight
                decay 1e-3; leaky ReLU of slope 0.01; their own rule for the radius (see `minisvdd.svdd.radius`)
`quick`         ours: minutes instead of hours, the default on the embedded digits
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Protocol:
    """Arguments of `DeepSVDD` that a protocol fixes, under the names of its constructor.

    network: None for the one made for samples of this shape.
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
_QUICK = Protocol(10, (8,), 1e-6, 15, (10,), 1e-3)

# The paper's for stop signs, which have the shape of CIFAR-10's images but a smaller network and smaller batches.
_SIGNS = {"batch_size": 64, "network": "gtsrb_lenet"}
# Everything else is the default of its protocol.
_EXCEPTIONS = {
    ("paper", "gtsrb"): _SIGNS,
    ("authors-code", "gtsrb"): _SIGNS,
    ("authors-code", "mnist"): {"pretrain_epochs": 150, "pretrain_milestones": (), "pretrain_weight_decay": 1e-3},
    ("quick", "gtsrb"): {**_SIGNS, "pretrain_epochs": 30, "pretrain_milestones": (25,)},
    ("quick", "digits"): {
        "pretrain_epochs": 100,
        "pretrain_milestones": (80,),
        "epochs": 100,
        "milestones": (80,),
        "batch_size": 32,
    },
}
PROTOCOLS = {"paper": _PAPER, "authors-code": _AUTHORS, "quick": _QUICK}


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
_GAN_PROTOCOLS = {"paper": _GAN_PAPER, "authors-code": _GAN_PAPER, "quick": _GAN_QUICK}


# The stop signs of table 2 are a file of their own (`minisvdd.attack.adversarial`).
_SAME_AS = {"stop-signs": "gtsrb"}


def get_protocol(name: str, dataset: str) -> Protocol:
    """The protocol of that name for a data set ("digits", "mnist", "cifar10", "gtsrb", or any other).

    Raises ValueError for an unknown name.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol={name!r}: expected one of {list(PROTOCOLS)}")
    return replace(PROTOCOLS[name], **_EXCEPTIONS.get((name, _SAME_AS.get(dataset, dataset)), {}))


def get_gan_protocol(name: str, dataset: str) -> GanProtocol:
    """AnoGAN's part of the protocol of that name. Raises ValueError for an unknown name."""
    get_protocol(name, dataset)
    return replace(_GAN_PROTOCOLS[name], **_GAN_EXCEPTIONS.get((name, dataset), {}))
