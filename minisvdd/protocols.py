"""Training protocols by name: the one place where epochs, rates and decays stand. CLI, lectures and tests read it here.

`paper`         section 4.2: DCAE 250 + 100 epochs, Deep SVDD 150 + 100, learning rate 1e-4 then 1e-5, lambda 1e-6
`authors-code`  the authors' published scripts: Deep SVDD 50 + 100 epochs; on MNIST a DCAE of 150 epochs with weight
                decay 1e-3; leaky ReLU of slope 0.01; their own rule for the radius (see `minisvdd.radius`)
`quick`         ours: minutes instead of hours, the default on the embedded digits
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Protocol:
    """Arguments of `DeepSVDD` that a protocol fixes, under the names of its constructor."""

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


_PAPER = Protocol()
_AUTHORS = replace(_PAPER, epochs=150, milestones=(50,), slope=0.01, radius_update="authors-theano")
_QUICK = Protocol(10, (8,), 1e-6, 15, (10,), 1e-3)

# The paper's batch size for the stop signs is 64; everything else is the default of its protocol.
_EXCEPTIONS = {
    ("paper", "gtsrb"): {"batch_size": 64},
    ("authors-code", "gtsrb"): {"batch_size": 64},
    ("authors-code", "mnist"): {"pretrain_epochs": 150, "pretrain_milestones": (), "pretrain_weight_decay": 1e-3},
    ("quick", "gtsrb"): {"batch_size": 64, "pretrain_epochs": 30, "pretrain_milestones": (25,)},
    ("quick", "digits"): {
        "pretrain_epochs": 100,
        "pretrain_milestones": (80,),
        "epochs": 100,
        "milestones": (80,),
        "batch_size": 32,
    },
}
PROTOCOLS = {"paper": _PAPER, "authors-code": _AUTHORS, "quick": _QUICK}


def get_protocol(name: str, dataset: str) -> Protocol:
    """The protocol of that name for a data set ("digits", "mnist", "cifar10", "gtsrb", or any other).

    Raises ValueError for an unknown name.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol={name!r}: expected one of {list(PROTOCOLS)}")
    return replace(PROTOCOLS[name], **_EXCEPTIONS.get((name, dataset), {}))
