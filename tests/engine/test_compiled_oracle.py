"""Compiled models against torch in float64, on calibrated weights: every model, both executors, several batches."""

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, models
from numserve.engine.compiled import CompiledModel, compile_module

pytestmark = pytest.mark.oracle
MEASURED = ("resnet18", "vgg16", "densenet161", "inception_v3", "squeezenet1_0", "alexnet", "mobilenet_v2",
            "mlp", "encoder", "lstm")  # fmt: skip
VARIANTS = tuple(name for name in models.__all__ if name.islower() and name not in MEASURED)
EXECUTORS = ("numpy", "native")
BATCHES = (1, 3, 8, 17)
SMALL = {"inception_v3": 107}  # pixels a side, where 64 are too few for all its pools
TOLERANCE = 1e-4  # of the output's scale


class Subject:
    """A model of both makes, and what torch answers in float64."""

    def __init__(self, torch: ModuleType, oracle: ModuleType, name: str, size: int | None, batches: Sequence[int]):
        self.theirs, self.ours, shape = oracle.pair(name, size)
        generator = np.random.default_rng(1)
        self.inputs = {n: generator.standard_normal((n, *shape)).astype(np.float32) for n in batches}
        self.theirs.double()
        with torch.no_grad():
            self.wanted = {n: self.theirs(torch.from_numpy(x).double()).numpy() for n, x in self.inputs.items()}

    def compiled(self, executor: str, exact: bool = False) -> CompiledModel:
        model = compile_module(self.ours, Tensor(next(iter(self.inputs.values()))), executor=executor, exact=exact)
        assert model.describe()["mode"] == "plan", model.reason
        return model

    def error(self, model: CompiledModel, batch: int) -> float:
        """The largest error, in parts of the largest output."""
        wanted, met = self.wanted[batch], model(Tensor(self.inputs[batch])).numpy()
        assert met.shape == wanted.shape and met.dtype == np.float32
        return float(np.abs(met - wanted).max() / np.abs(wanted).max())


@pytest.fixture(scope="module")
def torch() -> ModuleType:
    return pytest.importorskip("torch")  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def oracle(torch: ModuleType) -> Iterator[ModuleType]:
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    file = Path(__file__).parents[1] / "data" / "oracle_models.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield module
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=MEASURED)
def small(request: Any, torch: ModuleType, oracle: ModuleType) -> Subject:
    return Subject(torch, oracle, request.param, SMALL.get(request.param, 64), BATCHES)


@pytest.fixture(scope="module", params=MEASURED)
def whole(request: Any, torch: ModuleType, oracle: ModuleType) -> Subject:
    return Subject(torch, oracle, request.param, None, (1,))


@pytest.mark.parametrize("exact", [False, True], ids=["fast", "exact"])
@pytest.mark.parametrize("executor", EXECUTORS)
def test_every_batch_answers_as_torch(small: Subject, executor: str, exact: bool) -> None:
    model = small.compiled(executor, exact)
    model.prepare((3,))
    for batch in BATCHES:
        assert small.error(model, batch) <= TOLERANCE
    assert model.describe()["eager_calls"] == 0


@pytest.mark.parametrize("executor", EXECUTORS)
def test_fast_algorithms_lose_at_most_two_bits(whole: Subject, executor: str) -> None:
    assert np.abs(whole.wanted[1]).max() > 0.01
    exact = whole.error(whole.compiled(executor, exact=True), 1)
    fast = whole.error(whole.compiled(executor), 1)
    assert exact <= TOLERANCE and fast <= TOLERANCE
    assert fast <= 3 * max(exact, 1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_answers_as_torch(name: str, torch: ModuleType, oracle: ModuleType) -> None:
    subject = Subject(torch, oracle, name, 64, (3,))
    for executor in EXECUTORS:
        assert subject.error(subject.compiled(executor), 3) <= TOLERANCE


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v2", "mlp", "encoder", "lstm"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_stays_in_its_row(name: str, value: float, torch: ModuleType, oracle: ModuleType) -> None:
    subject = Subject(torch, oracle, name, 64, (3,))
    subject.inputs[3][1].reshape(-1)[1000 % subject.inputs[3][1].size] = value
    with torch.no_grad():
        wanted = subject.theirs.float()(torch.from_numpy(subject.inputs[3])).numpy()
    for executor in EXECUTORS:
        met = subject.compiled(executor)(Tensor(subject.inputs[3])).numpy()
        np.testing.assert_array_equal(np.isfinite(met), np.isfinite(wanted))
        assert np.abs(met[::2] - wanted[::2]).max() <= TOLERANCE * np.abs(wanted[::2]).max()
