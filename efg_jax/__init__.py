"""Differentiable learning of the tensors behind solid-state NMR."""

__version__ = "0.1.0"
