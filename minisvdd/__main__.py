"""The process `minisvdd`, also as `python -m minisvdd`."""

import sys

from . import interrupt


def command() -> None:
    """Run the command of this process's arguments, and end with its exit status."""
    with interrupt.ends_at_once():
        from .cli.main import main  # only now: Ctrl-C is one line from here on

        status = main()
        interrupt.ends_with(status)
        sys.exit(status)


if __name__ == "__main__":
    command()
