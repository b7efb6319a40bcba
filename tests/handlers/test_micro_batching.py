import threading
from typing import Any

import pytest
from numserve.handlers import BaseHandler, Context
from numserve.handlers.micro_batching import MicroBatching


class Steps(BaseHandler):
    """Counts up in each step and remembers the pieces and the threads."""

    def __init__(self, size: int, parallelism: dict[str, int] | None = None) -> None:
        super().__init__()
        self.seen: list[tuple[int, list[int]]] = []
        self.threads: set[str] = set()
        self.batching = MicroBatching(self, size, parallelism)
        self.handle = self.batching  # type: ignore[method-assign]

    def preprocess(self, data: Any) -> Any:
        self.seen.append((self.batching.get_micro_batch_idx(), [row["body"] for row in data]))
        return [row["body"] + 1 for row in data]

    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        self.threads.add(threading.current_thread().name)
        return [10 // (number - 5) for number in data]

    def postprocess(self, data: Any) -> list[Any]:
        return [number * 2 for number in data]


@pytest.fixture
def handler() -> Any:
    made = Steps(2, {"preprocess": 1, "inference": 3})
    yield made
    made.batching.shutdown()


def rows(*values: int) -> list[dict[str, Any]]:
    return [{"body": value} for value in values]


def test_pieces_keep_their_order(handler, context) -> None:
    assert handler.handle(rows(5, 6, 7, 8, 9), context) == [20, 10, 6, 4, 4]
    assert handler.seen == [(0, [5, 6]), (1, [7, 8]), (2, [9])]
    assert [emitted.name for emitted in context.metrics.drain()] == ["HandlerTime"]


def test_an_error_is_the_batchs_and_the_next_batch_works(handler, context) -> None:
    with pytest.raises(ZeroDivisionError):
        handler.handle(rows(3, 4), context)

    assert handler.handle(rows(5), context) == [20]


def test_explaining_and_describing_go_the_plain_way(handler, context) -> None:
    context.begin(["id0"], [{"describe": "True"}])

    assert handler.handle(rows(1), context) == [None]
    assert handler.seen == []


def test_parallelism_can_change(handler, context) -> None:
    handler.batching.parallelism = {"inference": 1}
    handler.handle(rows(*range(6, 12)), context)

    assert handler.batching.parallelism == {"preprocess": 1, "inference": 1, "postprocess": 1}
    assert len(handler.threads) == 1


@pytest.mark.parametrize(("size", "parallelism"), [(0, {}), (1, {"inference": 0}), (1, {"handle": 1})])
def test_what_is_refused(size, parallelism) -> None:
    with pytest.raises(ValueError, match="expected"):
        Steps(size, parallelism)


@pytest.mark.parametrize(("config", "emitted"), [({}, []), ({"handler": {"profile": True}}, ["ts_handler_preprocess"])])
def test_steps_are_timed_where_the_model_asks_for_it(config, emitted) -> None:
    context = Context("m", "/m", None, 1, model_yaml_config=config)
    handler = BaseHandler()
    handler.context = context
    handler.preprocess([[1.0]])

    assert [(e.name, e.unit) for e in context.metrics.drain()] == [(name, "ms") for name in emitted]
