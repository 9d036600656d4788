# minisvdd assignment: linear


def linear_forward(x, weight):
    # multiply every sample with every row of the weight matrix
    return x @ weight.T


def linear_backward_input(grad_output, weight):
    # x[n,d] reaches every y[n,k] through W[k,d]: sum over k
    return grad_output @ weight


def linear_backward_weight(grad_output, x):
    # W[k,d] serves every sample: sum over n
    return grad_output.T @ x


def bias_forward(y, bias):
    # shape the bias so that it is added along axis 1, for (N, K) and (N, K, H, W)
    return y + bias.reshape(-1, *[1] * (y.ndim - 2))


def bias_backward(grad_output):
    # sum over every axis but the one of the bias
    return grad_output.sum(axis=tuple(axis for axis in range(grad_output.ndim) if axis != 1))
