"""`numserve bench`: load from one process, what it measured, and how that is told."""

from .arrivals import constant, poisson
from .point import Point
from .report import Report
from .run import Load, Target, bench

__all__ = ["Load", "Point", "Report", "Target", "bench", "constant", "poisson"]
