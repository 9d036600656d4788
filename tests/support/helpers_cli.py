"""The command line in this process."""

from minisvdd import cli

TRAINED_FILES = ["examples.png", "model.npz", "result.json", "scores.png", "training.png"]
FEW = ("--epochs", 3, "--pretrain-epochs", 2)  # where it does not matter how well it is trained


def run(*arguments):
    """The exit status of the command `minisvdd` with these arguments."""
    return cli.main([str(argument) for argument in arguments])
