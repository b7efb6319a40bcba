"""The HTTP faces over the registry: inference, management, metrics."""
