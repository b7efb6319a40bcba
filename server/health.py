"""Health: which models cannot serve that should; kept by what changes, as it is asked far more often than that."""

from __future__ import annotations

from collections.abc import Callable, Set

from .model import Model

WAITED_FOR = ("loading", "failing", "crash-loop")
"""States of a model that should have workers, and has none that is ready."""


class Health:
    """Looks again only at names where something has changed: of 10,000 models, none as a rule."""

    def __init__(self, default: Callable[[str], Model | None]) -> None:
        """Know of none; `default` gives the version of a name that answers, None where the name is gone."""
        self._default = default
        self._changed: set[str] = set()
        self._unhealthy: set[str] = set()
        self._missing: set[str] = set()

    def changed(self, name: str) -> None:
        """Take note that a version of a model has come, gone, or changed how it is."""
        self._changed.add(name)

    def unhealthy(self) -> Set[str]:
        """Those whose default version has not the workers it should have, and will not get them."""
        self._look()
        return self._unhealthy

    def missing(self) -> Set[str]:
        """Those whose default version should have workers and has none that is ready."""
        self._look()
        return self._missing

    def _look(self) -> None:
        for name in self._changed:
            model = self._default(name)
            _enter(self._unhealthy, name, model is not None and not model.healthy())
            _enter(self._missing, name, model is not None and model.status().state in WAITED_FOR)
        self._changed.clear()


def _enter(names: set[str], name: str, there: bool) -> None:
    (names.add if there else names.discard)(name)
