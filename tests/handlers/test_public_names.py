"""The public names, some of which are imported when they are asked for."""

import numserve.handlers as handlers
import pytest


def test_every_public_name_is_there() -> None:
    assert {name for name in handlers.__all__ if not hasattr(handlers, name)} == set()
    assert handlers.WITH_ENGINE.keys() <= set(handlers.__all__)


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        handlers.absent  # noqa: B018
