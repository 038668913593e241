"""The version, which checkpoints and model files carry."""

__version__ = "0.1.0"
