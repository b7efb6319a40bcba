"""TorchServe's, KServe's and gRPC's own services over the same models: an extra. This import brings none of it."""

from .choice import INSTALL, asked_for, heedless_of_forks, installed, served

__all__ = ["INSTALL", "asked_for", "heedless_of_forks", "installed", "served"]
