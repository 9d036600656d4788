"""The command line in this process."""

from minisvdd import cli

TRAINED_FILES = ["examples.png", "model.npz", "result.json", "scores.png", "training.png"]


def run(*arguments):
    """The exit status of the command `minisvdd` with these arguments."""
    return cli.main([str(argument) for argument in arguments])
