# minisvdd assignment: batchnorm
import numpy as np


def batch_statistics(x):
    # mean and mean squared deviation over all axes but the channels
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    return x.mean(axis=axes), x.var(axis=axes)


def batchnorm_forward(x, mean, variance, epsilon):
    # the scale r of each channel
    scale = 1 / np.sqrt(variance + epsilon)
    # shift and scale every channel
    shape = (1, -1) + (1,) * (x.ndim - 2)
    return (x - mean.reshape(shape)) * scale.reshape(shape), scale


def batchnorm_backward(grad_output, x_hat, scale):
    axes = tuple(axis for axis in range(x_hat.ndim) if axis != 1)
    shape = (1, -1) + (1,) * (x_hat.ndim - 2)
    # the two means of each channel
    mean_g = grad_output.mean(axis=axes, keepdims=True)
    mean_gx = (grad_output * x_hat).mean(axis=axes, keepdims=True)
    # direct way, way through the mean, way through the variance
    return scale.reshape(shape) * (grad_output - mean_g - x_hat * mean_gx)


def batchnorm_backward_fixed(grad_output, scale):
    # only the direct way is left
    return grad_output * scale.reshape((1, -1) + (1,) * (grad_output.ndim - 2))


def affine_forward(x_hat, weight, bias):
    # one weight and one bias per channel
    shape = (1, -1) + (1,) * (x_hat.ndim - 2)
    return x_hat * weight.reshape(shape) + bias.reshape(shape)


def affine_backward(grad_output, x_hat, weight):
    axes = tuple(axis for axis in range(x_hat.ndim) if axis != 1)
    shape = (1, -1) + (1,) * (x_hat.ndim - 2)
    # the three gradients
    grad_x_hat = grad_output * weight.reshape(shape)
    grad_weight = (grad_output * x_hat).sum(axis=axes)
    grad_bias = grad_output.sum(axis=axes)
    return grad_x_hat, grad_weight, grad_bias
