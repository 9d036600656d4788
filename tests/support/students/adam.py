# minisvdd assignment: adam
import numpy as np


def adam_update(param, grad, first_moment, second_moment, step, learning_rate, beta1, beta2, epsilon, weight_decay):
    # the gradient of the objective with its weight decay (grad itself stays as it is)
    g = grad + weight_decay * param
    # move both moments, in place
    first_moment[...] = beta1 * first_moment + (1 - beta1) * g
    second_moment[...] = beta2 * second_moment + (1 - beta2) * g * g
    # correct their bias towards 0
    m_hat = first_moment / (1 - beta1**step)
    v_hat = second_moment / (1 - beta2**step)
    # change the parameters, in place
    param -= learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)
