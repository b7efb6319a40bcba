"""Workflows: graphs of models and functions that answer as one."""

from __future__ import annotations

from .registry import WorkflowRegistry
from .spec import Node, WorkflowSpec
from .workflow import Workflow

__all__ = ["Node", "Workflow", "WorkflowRegistry", "WorkflowSpec"]
