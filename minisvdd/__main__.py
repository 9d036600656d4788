"""`python -m minisvdd` is the command `minisvdd`."""

from .cli.main import main

raise SystemExit(main())
