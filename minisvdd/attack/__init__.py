"""The Boundary Attack on a classifier made of the same layers, and the adversarial test set of table 2."""
