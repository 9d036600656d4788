# minisvdd assignment: deep-svdd
import numpy as np


def move_from_zero(center, epsilon):
    # the sign of each coordinate; 0 counts as positive
    sign = np.where(center < 0, -1.0, 1.0)
    # move the coordinates that are too close to 0, leave the others
    return np.where(np.abs(center) < epsilon, sign * epsilon, center)


def mean_output(network, X):
    # the outputs of the network in evaluation mode, averaged in float64
    return network.forward(X, training=False).mean(axis=0, dtype=np.float64)


def fixed_batches(n, batch_size):
    # where batches start; a single sample that is left over joins the batch before it
    starts = list(range(0, n, batch_size))
    if n % batch_size == 1 and len(starts) > 1:
        starts.pop()
    # one slice for each batch, the last one to the end
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], n])]


def shuffled_batches(n, batch_size, rng):
    # a random order, cut into batches
    order = rng.permutation(n)
    return [order[batch] for batch in fixed_batches(n, batch_size)]


def train_epoch(network, loss, optimizer, X, batches):
    total = 0.0
    for batch in batches:
        # forward in training mode, loss, backward, step: in this order
        x = X[batch]
        value, grad_output = loss(network.forward(x, training=True), x)
        network.backward(grad_output)
        optimizer.step()
        # the loss is a mean over the batch; batches may differ in size
        total += float(value) * len(batch)
    # the mean over all samples
    return total / sum(len(batch) for batch in batches)


def train_deep_svdd(network, optimizer, X, objective, nu, epochs, batch_size, radius_every, center_epsilon, rng):
    # the centre, before any training
    center = move_from_zero(mean_output(network, X), center_epsilon)

    # R^2 for the present weights: an order statistic of the distances over the whole of X
    def solve_radius():
        distances = np.sort(((network.forward(X, training=False) - center) ** 2).sum(axis=1))[::-1]
        return float(distances[min(int(np.floor(nu * len(X) * (1 + 1e-12))), len(X) - 1)])

    # the loss of a batch and its gradient, eq. (4) or (3)
    def loss(outputs, inputs):
        difference, N = outputs - center, len(outputs)
        distances = (difference**2).sum(axis=1)
        if objective == "one-class":
            return distances.mean(), 2 / N * difference
        excess = distances - radius_squared
        value = radius_squared + np.maximum(0, excess).sum() / (nu * N)
        return value, 2 / (nu * N) * (excess > 0)[:, None] * difference

    # epochs of training; the radius every radius_every of them
    losses = []
    for epoch in range(epochs):
        if objective == "soft-boundary" and epoch % radius_every == 0:
            radius_squared = solve_radius()
        losses.append(train_epoch(network, loss, optimizer, X, shuffled_batches(len(X), batch_size, rng)))
    return center, solve_radius(), losses


def anomaly_score(network, X, center, radius_squared=0.0):
    # squared distances to the centre in evaluation mode, less R^2
    return ((network.forward(X, training=False) - center) ** 2).sum(axis=1) - radius_squared
