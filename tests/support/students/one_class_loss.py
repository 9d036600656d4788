# minisvdd assignment: one-class-loss
import numpy as np  # noqa: F401  (a planted mistake takes a root)


def squared_distances(outputs, center):
    # square the differences and sum over the coordinates
    return ((outputs - center) ** 2).sum(axis=1)


def one_class_loss(outputs, center):
    # the mean of the squared distances
    value = squared_distances(outputs, center).mean()
    # its gradient for every output
    grad = 2 / len(outputs) * (outputs - center)
    return value, grad
