"""Contracts (`contracts`) of the functions that are no layers: the training loop, the checker, collapse, thresholds."""

OF_THE_METHOD = {
    "move_from_zero": """
Moves those coordinates of the centre away from 0 that are closer to it than epsilon.

A coordinate with |c_j| < epsilon becomes epsilon or -epsilon and keeps its sign; 0 has none and becomes epsilon.
The others stay as they are.

center: (p,), which is not changed.   Returns a new array (p,).
""",
    "mean_output": """
The mean of the network's outputs over all samples, in evaluation mode: network.forward(X, training=False).

Add up in float64 (`dtype=np.float64`), also when the outputs are float32.   X: (n, ...).   Returns (p,) in float64.
""",
    "fixed_batches": """
Batches of consecutive samples: slices that cover 0 to n - 1 in order, of batch_size samples each.

The last one may be shorter. If a single sample is left over it joins the batch before it (batch norm needs two),
unless there is no batch before it.   Returns a list of slices.
""",
    "shuffled_batches": """
The samples 0 to n - 1 in a random order (`rng.permutation(n)`), cut into batches as `fixed_batches` cuts.

Returns a list of integer arrays. Every sample is in exactly one of them.
""",
    "train_epoch": """
One pass over the batches. For each: network.forward(x, training=True), loss, network.backward, optimizer.step.

loss: called as loss(outputs, x), returns (value, gradient with respect to the outputs, one number for each sample);
the numbers are not needed.   X: (n, ...).   batches: arrays of indices into X.
Returns the mean loss per sample; a batch's value is a mean over its samples, and batches differ in size.
""",
    "train_deep_svdd": """
The whole training of Deep SVDD by eq. (4), "one-class", or eq. (3), "soft-boundary", without weight decay.

One-class: minimise the mean of d_i over the weights, d_i = ||phi(x_i) - c||^2.
Soft-boundary: minimise R^2 + 1/(nu n) times the sum of max(0, d_i - R^2) over weights and R, in turns.

The centre c is the mean output over X before training, moved away from 0 by `center_epsilon`; it stays fixed.
Each of the `epochs` takes new batches, shuffled_batches(n, batch_size, rng), through train_epoch. A batch of N
samples has the loss of the objective with N in place of n. For a sample on the sphere take 0 as the derivative
(where rounding alone puts it inside or outside, both count as right).
For "soft-boundary", R^2 is solved for exactly at the start of the epochs 0, radius_every, 2 radius_every, ..., with
the weights fixed, from the outputs of all of X in evaluation mode: the smallest of the distances that minimises the
objective (nu n that is an integer up to rounding counts as that integer). It is solved for once more after the last
epoch, for both objectives.

network: forward(x, training) -> (N, p), backward(gradient).   optimizer: step() after each backward.   X: (n, D).
Returns the centre (p,), R^2 (a number), and a list with the mean loss of every epoch, in this order.
""",
    "anomaly_score": """
Eq. (5): the squared distance of each output from the centre, less R2, by the network in evaluation mode.

network.forward(X) evaluates.   X: (n, ...).   c: (p,).   R2: R^2 for soft-boundary, 0 for one-class.
Returns (n,), larger for anomalies.
""",
    "allowed_alarms": """
How many of m + 1 normal samples may raise an alarm, the new one among them, for a rate of at most alpha.

The largest whole number j for which the quotient j / (m + 1), as Python computes it, is not above alpha. A product
may be rounded to the wrong side of a whole number: 0.29 * 100 is below 29, yet 29 of 100 are a rate of 0.29.

m: samples held out.   alpha: in (0, 1).   Returns an int.
""",
    "least_holdout": """
How many samples must be held out at least, so that `allowed_alarms` is at least `allowed`.

alpha: in (0, 1).   allowed: 1, 2, ...   Returns an int.
""",
    "conformal_threshold": """
The lowest of the scores that a new normal sample exceeds with a probability of at most alpha.

That is a probability over hold-out and new sample, which nothing tells apart. An alarm is a score above it.

scores: (m,) of normal samples held out of training, in any order; they stay as they came.   alpha: in (0, 1).
Returns a number: infinity where none of the scores can promise so little.
""",
    "p_values": """
For every score: which share of the normal samples is at least as anomalous, itself counted as one of them.

That is a share of m + 1. A held-out score that equals it is at least as anomalous.

holdout_scores: (m,) of normal samples held out of training.   scores: (n,).   Returns (n,).
""",
    "nu_threshold": """
The threshold by the training scores: the smallest of them that at most nu n of them exceed.

For nu = 1 the smallest score. A product nu n that is whole up to rounding (0.29 * 100) counts as that number.

scores: (n,) of the samples that the network was trained on.   nu: in (0, 1].   Returns a number.
""",
    "alarm_rate": """
Mean and standard deviation of the rate of false alarms by `conformal_threshold`, over hold-outs.

For continuous scores: the rate of one hold-out is the probability that a new normal sample exceeds its threshold.

m: samples held out.   alpha: in (0, 1).   n_new: among how many new normal samples alarms are counted, whose share
then takes the place of the rate; None for infinitely many.   Returns two numbers.
""",
    "precision": """
How sure is an alarm: the share of anomalies among all samples that raise one.

share: of anomalies among all samples.   alpha: rate of false alarms among normal samples.   beta: rate of misses
among anomalies. Both are numbers or arrays of one shape.   Returns a number, or an array of that shape.
""",
    "best_threshold": """
The threshold with the smallest expected cost for a sample to come, and that cost. An alarm is a score above it.

A normal sample that raises an alarm costs cost_alarm, an anomaly that raises none cost_miss. How often either
happens is read off the given scores. Minus infinity, with which everything is an alarm, is a threshold as well.

normal: (n,) scores of normal samples.   anomalous: (m,) scores of anomalies.   share: of anomalies among the
samples to come, whatever it is among these.   Returns (threshold, cost); where several cost the same, any of them.
""",
    "best_step": """
The step h with the smallest error of a central difference of a function L of one number.

Cutting its series off costs an error that the third derivative gives. Rounding costs more the smaller h is: each of
the two values of L may be wrong by epsilon |L|. The best h has the smallest sum of both.

value: L.   third: the third derivative of L, not 0.   epsilon: the relative error of a number.   Returns h > 0.
""",
    "numeric_gradient": """
The gradient of the sum of all entries of G times f(x), by central differences with the step h, entry by entry.

All in double precision, also where x is not: f gets arrays of float64. x itself stays as it is.

function: f, from arrays like x to arrays like grad_output.   x: an array of any shape.   grad_output: G.
Returns an array of x's shape, in float64.
""",
    "relative_error": """
The largest difference of two gradients, divided by the largest absolute entry of either.

0 where both are zero everywhere. Infinity where their shapes differ or an entry is not finite: a gradient with a
NaN in it must not pass.

analytic, numeric: arrays.   Returns a number.
""",
    "constant_by_bias": """
Weights with which the network W2 s(W1 x + b) answers c to every input: Proposition 2.

s is the leaky ReLU: s(a) = a for a > 0, slope times a otherwise.

features: D.   hidden: H >= 1 units.   center: c, (p,).   slope: in [0, 1).
Returns W1 (H, D), b (H,) and W2 (p, H).
""",
    "constant_by_saturation": """
Weights with which the network W2 tanh(W1 x), without any bias, answers c to all samples: Proposition 3.

No output may differ from c by more than 1e-9 times the largest |c_j|.

X: (n, D), the samples.   hidden: H >= 1 units.   center: c, (p,).
Returns W1 (H, D) and W2 (p, H). Raises ValueError where no feature has the same sign in all samples.
""",
    "pull_on_weights": """
How strongly the loss makes a weight array W grow or shrink: the sum of W times dJ/dW over all entries.

J is the mean of ||phi_i - c||^2. The network has no biases and leaky ReLUs: with t W in the place of one W, t > 0,
all outputs are t times as large. The number is the same for every layer, and needs nothing but the outputs.

outputs: phi_i, (n, p).   center: c, (p,).   Returns a number.
""",
    "spectrum": """
The width of the outputs in each direction: the singular values of (outputs - their mean) / sqrt(n), descending.

outputs: (n, p) with n > p.   Returns (p,).
""",
    "verdict": """
What training did to the outputs of the same inputs: "point", "line" or "healthy".

Let S be the root of the mean squared distance of the outputs from their mean, and s_1 >= s_2 >= ... what `spectrum`
says. "point": S fell below 0.03 times its value before training. Where the outputs lie, and how many inputs come
twice, does not matter. "line": otherwise, if s_2 / s_1 fell below 0.01; before it was 0.01 or more, and p > 1.

before, after: (n, p) outputs, n > p, of the untrained and of the trained network.   Returns the word.
""",
    "blame": """
Which ingredient let this trained network W2 s(W1 x + b) collapse.

Returns one of "zero weights, c = 0", "trainable centre", "bias", "bounded activation", "weight decay". The network
had some weight decay in any case, and may have ingredients that did no harm: a bias that is 0, or an activation
that is bounded but not saturated. Training is never exact: what should be 0 is small, a thousandth of c or less.

W1: (H, D), b: (H,) or None, W2: (p, H), after training.   X: (n, D), the samples.   activation: "leaky relu" (slope
0.1), "tanh" or "sigmoid".   center_before, center: c (p,) before and after training.
""",
    "search_loss": """
L(z) = (1 - a) ||x - g(z)||_1 + a ||f(x) - f(g(z))||_1 for every image, g the generator, f the features.

||.||_1 is the sum of the absolute values of all entries of one image, or of its features.
generator, features: objects with forward(v), which is g(v) or f(v) for N rows at once, and vjp(v, gradient), which
is J(v)^T gradient.   z: (N, d).   x: (N, H, W), like g(z). Features are (N, p).   a: from 0 to 1.
Returns (N,).
""",
    "search_gradient": """
dL/dz of `search_loss`, for every image that of its own loss.

The derivative of |u| at 0 is 0. It is to be computed by both objects' backward passes, vjp(v, gradient).
z: (N, d).   x: (N, H, W).   Returns (N, d).
""",
    "when_to_stop": """
After how many steps the search of one image stops, and whether it has converged.

At t = window, 2 window, ... compare the best of the losses 0 to t with the best of the losses 0 to t - window: the
search stops if it fell by less than `tolerance` times the older one. Otherwise it ends with the last step.

losses: (T + 1,), at the start and after each step.   Returns (steps, converged).
""",
    "latent_search": """
At most `steps` steps of Adam for each image, from z on; each stops by itself, by the rule of `when_to_stop`.

Adam has beta1 = 0.9, beta2 = 0.999 and epsilon = 1e-8 beside the root, works entry by entry, begins with moments 0
and takes steps of size `learning_rate`. The best point counts, not the last one; the start is a point, too.
Images do not influence each other.

x: (N, H, W).   z: (N, d), which stays as it came.
Returns the best points (N, d), their losses (N,), steps taken (N,), and whether it has converged (N,).
""",
    "anogan_score": """
The smallest loss that `latent_search` finds from several starts, for every image.

The starts are the rows of one draw, rng.standard_normal((starts, latent_dim)); all images begin at the same ones.

x: (N, H, W).   Returns (N,).
""",
}
