# minisvdd assignment: collapse
"""As a student might hand it in, in his own words."""

import numpy as np


def constant_by_bias(features, hidden, center, slope):
    W1 = np.zeros((hidden, features))
    b = np.arange(1.0, hidden + 1)
    v = np.where(b > 0, b, slope * b)
    W2 = center[:, None] * v[None, :] / np.sum(v**2)
    return W1, b, W2


def constant_by_saturation(X, hidden, center):
    W1 = np.zeros((hidden, X.shape[1]))
    W2 = np.zeros((len(center), hidden))
    for k in range(X.shape[1]):
        column = X[:, k]
        if (column > 0).all() or (column < 0).all():
            W1[0, k] = 25 / np.abs(column).min()
            W2[:, 0] = center * np.sign(column[0])
            return W1, W2
    raise ValueError("there is no such feature")


def pull_on_weights(outputs, center):
    products = [np.dot(phi - center, phi) for phi in outputs]
    return 2 * np.mean(products)


def spectrum(outputs):
    n = len(outputs)
    centred = outputs - outputs.mean(axis=0)
    values = np.linalg.eigvalsh(centred.T @ centred / n)
    return np.sqrt(np.maximum(values, 0))[::-1]


def verdict(before, after):
    first, last = spectrum(before), spectrum(after)
    contrast = np.linalg.norm(last) / np.linalg.norm(first)
    if contrast < 0.03:
        return "point"
    if before.shape[1] > 1 and first[1] / first[0] >= 0.01 and last[1] / last[0] < 0.01:
        return "line"
    return "healthy"


def activate(name, a):
    if name == "tanh":
        return np.tanh(a)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-a))
    return np.where(a > 0, a, 0.1 * a)


def blame(W1, b, W2, X, activation, center_before, center):
    size = np.linalg.norm(center)
    if np.linalg.norm(center - center_before) > 1e-3 * np.linalg.norm(center_before):
        return "trainable centre"
    if size < 1e-8:
        return "zero weights, c = 0"
    a = X @ W1.T
    outputs = activate(activation, a + (0 if b is None else b)) @ W2.T
    if np.linalg.norm(outputs.mean(axis=0)) < 0.1 * size:
        return "weight decay"
    if b is not None and np.linalg.norm(activate(activation, a) @ W2.T, axis=1).max() < 0.1 * size:
        return "bias"
    return "bounded activation"
