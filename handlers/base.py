"""Handler, the contract of two methods, and BaseHandler, which loads a model and answers in three steps."""

from __future__ import annotations

import logging
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import Any, Protocol

from .context import Context
from .engine_options import EngineOptions
from .errors import PredictionException
from .fast_forward import attach
from .fast_path import FastPath, stored_choices
from .labels import MAPPING_FILE, load_label_mapping
from .library import library_of
from .model_files import model_class, program, state_dict
from .timing import timed

logger = logging.getLogger(__name__)


class Handler(Protocol):
    """What stands between the rows of a batch and their answers.

    A class that says `takes_views = True` of itself is given memoryviews, which end with the batch, where others are
    given a bytearray of their own; what derives from it has to say so again.
    """

    def initialize(self, context: Context) -> None:
        """Make ready for the first batch: called once."""

    def handle(self, rows: list[dict[str, Any]], context: Context) -> list[Any]:
        """Answer a batch: one item for each row, in their order."""
        ...


class BaseHandler:
    """Loads the model that the manifest names, and answers a batch by preprocess, inference and postprocess.

    Override the step that differs. `model`, `mapping` (class number → name, or None), `device`, `manifest`, `context`
    and `model_yaml_config` are set by `initialize`.
    """

    _fast_path: FastPath | None = None

    def __init__(self) -> None:
        self.model: Any = None
        self.mapping: dict[str, str] | None = None
        self.device: Any = None
        self.initialized = False
        self.context: Any = None
        self.model_pt_path: str | None = None
        self.manifest: dict[str, Any] | None = None
        self.map_location: str | None = None
        self.explain = False
        self.target = 0
        self.profiler_args: dict[str, Any] = {}
        self.model_yaml_config: dict[str, Any] = {}

    @property
    def library(self) -> ModuleType:
        """The tensor library of the model: numserve.engine, or torch for a model made of PyTorch's classes."""
        return library_of(self.model)

    @property
    def fast_path(self) -> FastPath:
        """What runs `model`, compiled where that is possible; another model gets another one."""
        if self._fast_path is None or self._fast_path.model is not self.model:
            context = getattr(self, "context", None)  # a subclass need not have called our constructor
            self._fast_path = attach(FastPath(self.model, EngineOptions.of(context), stored_choices(context)))
        return self._fast_path

    @fast_path.setter
    def fast_path(self, path: FastPath) -> None:
        self._fast_path = attach(path)

    def initialize(self, context: Context) -> None:
        """Load the model and the names of its classes.

        Raises: HandlerError where the manifest, the model file or the weights are not as they must be.
        """
        self.manifest = context.manifest
        self.model_yaml_config = context.model_yaml_config
        folder = Path(context.system_properties["model_dir"])
        entry = (self.manifest or {}).get("model") or {}
        self.model_pt_path = str(folder / entry["serializedFile"]) if entry.get("serializedFile") else None
        self.map_location = "cpu"
        if entry.get("modelFile"):
            self.model = self._load_pickled_model(str(folder), entry["modelFile"], self.model_pt_path)
        else:
            self.model = program(self.model_pt_path)
        self.device = self.library.device(self.map_location)
        self.model.to(self.device)
        self.model.eval()
        self.mapping = load_label_mapping(folder / MAPPING_FILE)
        self.initialized = True

    def _load_pickled_model(self, model_dir: str, model_file: str, model_pt_path: str | None) -> Any:
        """The model that the file's only class makes, with the weights in it."""
        model = model_class(Path(model_dir), model_file)()
        if model_pt_path:
            model.load_state_dict(state_dict(Path(model_pt_path), library_of(model)))
        elif any(True for _ in getattr(model, "parameters", tuple)()):
            logger.warning("the archive has no weights: those of %s are as its class makes them", model_file)
        return model

    @timed
    def preprocess(self, data: Any) -> Any:
        """Turn the rows into the model's input: here, lists of numbers into a tensor."""
        return self.library.as_tensor(data, device=self._place)

    @timed
    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the model, without keeping what gradients would need."""
        with self.library.inference_mode():
            return self.fast_path(data.to(self._place), *args, **kwargs)

    def example_inputs(self) -> tuple[Any, ...]:
        """Inputs like those the model will get, where the handler knows before the first request; here it does not."""
        return ()

    @timed
    def postprocess(self, data: Any) -> list[Any]:
        """Turn the model's output into answers, one for each row."""
        answers: list[Any] = data.tolist()
        return answers

    def handle(self, data: list[dict[str, Any]], context: Context) -> list[Any]:
        """Answer a batch, or explain it, or describe the model: the first request's headers say which."""
        started = perf_counter()
        self.context = context
        answers = self._answers(data)
        context.metrics.add_time("HandlerTime", round((perf_counter() - started) * 1000, 2), None, "ms")
        return answers

    def _answers(self, data: list[dict[str, Any]]) -> list[Any]:
        if self._is_describe():
            return [self.describe_handle()]
        prepared = self.preprocess(data)
        if self._is_explain():
            return self.explain_handle(prepared, data)
        return self.postprocess(self.inference(prepared))

    def explain_handle(self, data_preprocess: Any, raw_data: list[dict[str, Any]]) -> list[Any]:
        """Explain the prediction for the first row's `target`, by `get_insights`."""
        row = raw_data[0] if isinstance(raw_data[0], dict) else {"data": raw_data[0]}
        return self.get_insights(data_preprocess, row.get("data") or row.get("body"), row.get("target") or 0)

    def get_insights(self, tensor_data: Any, raw_data: Any, target: Any = 0) -> list[Any]:
        """How much each input counted for `target`; a handler that can explain overrides this."""
        raise PredictionException(
            f"{type(self).__name__} explains no predictions: its own get_insights() would have to",
            501,
        )

    def describe_handle(self) -> Any:
        """What a customised description of the model says; nothing here."""
        return None

    @property
    def _place(self) -> str:
        """The device by its name, which every library knows."""
        return str(self.device or "cpu")

    def get_device(self) -> Any:
        """Where the model computes."""
        return self.device

    def _is_explain(self) -> bool:
        return self._asks_for("explain")

    def _is_describe(self) -> bool:
        return self._asks_for("describe")

    def _asks_for(self, header: str) -> bool:
        return bool(self.context.request_processor) and self.context.get_request_header(0, header) == "True"
