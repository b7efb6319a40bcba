"""numserve: a model server for PyTorch models that needs neither PyTorch nor Java."""

__version__ = "0.1.0"
