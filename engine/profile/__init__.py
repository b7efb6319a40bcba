"""Profiles: what a compiled model does step by step, how long it takes, and how far that is from what could be."""

from .limits import Limits, measure
from .page import as_html
from .report import Line, Report, profile
from .table import as_text

__all__ = ["Limits", "Line", "Report", "as_html", "as_text", "measure", "profile"]
