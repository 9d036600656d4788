"""`python -m minisvdd` is the command `minisvdd`."""

from .cli import main

raise SystemExit(main())
