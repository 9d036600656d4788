"""minisvdd: deep one-class classification from first principles."""

__version__ = "0.1.0"
