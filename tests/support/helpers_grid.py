"""A grid of two classes, two methods, two seeds and two epochs."""

from minisvdd.experiments.grid import make_grid
from minisvdd.experiments.protocols import GanProtocol, Protocol
from minisvdd.experiments.report import collect
from minisvdd.experiments.running.run import run_grid

__all__ = ["TINY", "TINY_GAN", "aucs", "cell_files", "run_grid", "tiny_grid"]

TINY = Protocol(pretrain_epochs=2, pretrain_milestones=(), epochs=2, milestones=(), learning_rate=1e-3, batch_size=32)
TINY_GAN = GanProtocol(epochs=2, batch_size=32, latent_dim=8, search_steps=3, test_images=200)


def tiny_grid(**changes):
    """Two classes, two methods, two seeds, two epochs."""
    arguments = {
        "methods": ["isolation-forest", "one-class"],
        "classes": ["3", "8"],
        "seeds": 2,
        "settings": TINY,
        "gan_settings": TINY_GAN,
    }
    return make_grid("digits", **{**arguments, **changes})


def aucs(out):
    """Everything that a table shows."""
    return collect(out)[1]


def cell_files(out):
    """All cells that are finished."""
    return sorted((out / "cells").rglob("*.json"))
