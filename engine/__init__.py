"""The embedded tensor engine: tensors, gradients, layers and models on NumPy."""

from .autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .creation import tensor
from .tensor import Tensor

__all__ = ["Tensor", "enable_grad", "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled", "tensor"]
