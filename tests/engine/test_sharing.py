"""Large arrays in files that processes have in common: the same values, once in memory, never written to."""

from __future__ import annotations

import mmap
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numserve.engine import Tensor, nn, sharing
from numserve.engine.compiled import compile_module
from numserve.engine.dtype import Array
from numserve.engine.errors import EngineError
from numserve.engine.executors import executor_named
from numserve.engine.formats.mapping import map_file
from numserve.engine.graph.memory import at_home
from numserve.engine.sharing import is_borrowed, is_mapped, let_go, share_in, shared

LARGE = np.arange(sharing.LEAST, dtype=np.float32).reshape(2, -1)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that this process shares arrays in."""
    share_in(tmp_path / "shared")
    yield tmp_path / "shared"
    share_in(None)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("float32-*"))


def test_without_a_folder_nothing_is_shared() -> None:
    assert shared(LARGE) is LARGE


def test_a_folder_may_be_for_what_is_known_of_files_alone(tmp_path: Path) -> None:
    share_in(tmp_path, arrays=False)
    try:
        assert shared(LARGE) is LARGE
        assert sharing.folder_in_common() == tmp_path
    finally:
        share_in(None)


def test_an_array_comes_back_mapped_with_the_same_values(folder: Path) -> None:
    array = shared(LARGE)
    assert is_mapped(array) and not is_mapped(LARGE)
    assert (array.shape, array.dtype, array.flags.writeable) == (LARGE.shape, LARGE.dtype, True)
    np.testing.assert_array_equal(array, LARGE)
    assert shared(array) is array
    assert is_mapped(np.ndarray(3, np.float32, array.data))


def test_equal_arrays_have_one_file_and_others_their_own(folder: Path) -> None:
    shared(LARGE)
    shared(LARGE.copy())
    shared(LARGE + 1)
    shared(LARGE.reshape(-1))
    assert len(files(folder)) == 3


@pytest.mark.parametrize("array", [LARGE[0, :100], LARGE.T, LARGE[:, ::2]], ids=["small", "turned", "gaps"])
def test_other_arrays_stay_as_they_are(array: Array, folder: Path) -> None:
    assert shared(array) is array


def test_an_array_that_only_seems_equal_is_not_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_name", lambda array, data: "float32-same")
    shared(LARGE)
    other = LARGE + 1
    assert shared(other) is other


def test_what_one_writes_the_others_do_not_see(folder: Path) -> None:
    shared(LARGE)[0, 0] = 7
    assert shared(LARGE)[0, 0] == 0


def test_pages_that_were_let_go_are_there_when_they_are_read(folder: Path) -> None:
    array = shared(LARGE)
    let_go(array)
    let_go(LARGE)
    np.testing.assert_array_equal(array, LARGE)


def test_a_folder_that_cannot_be_written_to_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    share_in(tmp_path / "none" / "shared")
    assert shared(LARGE) is LARGE
    assert shared(LARGE) is LARGE
    assert [record.message.split(":")[0] for record in caplog.records] == ["weights are not shared with other workers"]


def test_another_process_maps_the_same_pages(folder: Path) -> None:
    array = shared(LARGE)
    script = (
        "import sys, numpy as np\nfrom pathlib import Path\nfrom numserve.engine.sharing import *\n"
        "share_in(Path(sys.argv[1]))\n"
        f"a = shared(np.arange({LARGE.size}, dtype=np.float32).reshape(2, -1))\n"
        "print(is_mapped(a), sys.argv[1] in Path('/proc/self/maps').read_text())"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
    assert len(files(folder)) == 1 and array[0, 1] == 1


@pytest.mark.parametrize("executor", ["numpy", "native"])
def test_a_compiled_model_runs_on_shared_weights(executor: str, folder: Path) -> None:
    try:
        executor_named(executor)
    except EngineError as error:
        pytest.skip(str(error))
    layers = nn.Conv2d(32, 96, 3, padding=1), nn.ReLU(), nn.Conv2d(96, 96, 3), nn.Flatten(), nn.Linear(96 * 36, 40)
    model = nn.Sequential(*layers).eval()
    x = Tensor(np.random.default_rng(0).standard_normal((1, 32, 8, 8)).astype(np.float32))

    compiled = compile_module(model, x, executor=executor)
    met = compiled(x).array

    np.testing.assert_allclose(met, model(x).array, rtol=1e-3, atol=1e-4)
    assert compiled.graph is not None and compiled.reason == ""
    assert all(is_mapped(a) for a in compiled.graph.constants.values() if a.nbytes >= sharing.LEAST)
    lowered = sum(a.nbytes >= sharing.LEAST for a in compiled.graph.constants.values())
    assert len(files(folder)) > lowered if executor == "native" else lowered


def borrowed(path: Path) -> Array:
    """4096 x 1024 numbers in a file, as a parameter has them."""
    np.arange(1 << 22, dtype=np.float32).tofile(path)
    parameter = nn.Parameter(requires_grad=False)
    parameter.borrow(np.frombuffer(map_file(path), np.float32).reshape(4096, 1024))
    return parameter.array


def resident(array: Array) -> int:
    """How many pages of an array the process has mapped."""
    first = array.ctypes.data // mmap.PAGESIZE
    with open("/proc/self/pagemap", "rb") as file:
        file.seek(8 * first)
        pages = np.frombuffer(file.read(8 * (array.nbytes // mmap.PAGESIZE)), np.uint64)
    return int((pages >> np.uint64(63)).sum())


def test_pages_of_a_borrowed_array_can_be_let_go(tmp_path: Path) -> None:
    array = borrowed(tmp_path / "weights")
    total = array.sum()
    assert is_borrowed(array) and resident(array) > 4000
    let_go(array.T)
    assert resident(array) == 0 and array.sum() == total


def test_pages_that_somebody_wrote_to_are_not_let_go(tmp_path: Path) -> None:
    array = borrowed(tmp_path / "weights")
    whole = array
    while not whole.flags.writeable:
        whole = whole.base
    whole.reshape(-1)[5] = -1
    let_go(array)
    assert array[0, 5] == -1


def test_large_borrowed_weights_are_read_where_they_are(tmp_path: Path) -> None:
    array = borrowed(tmp_path / "weights")
    assert at_home(array.T).base is not None and np.shares_memory(at_home(array.T), array)
    assert not np.shares_memory(at_home(array[:, ::2]), array)
    assert not np.shares_memory(at_home(array[:64].T), array)
    own = array.copy()
    assert not np.shares_memory(at_home(own.T), own)


@pytest.mark.parametrize("executor", ["numpy", "native"])
def test_a_large_layer_keeps_no_second_copy(executor: str, tmp_path: Path) -> None:
    try:
        executor_named(executor)
    except EngineError as error:
        pytest.skip(str(error))
    layer = nn.Linear(1024, 4096, bias=False).eval()
    layer.weight.borrow(borrowed(tmp_path / "weights"))
    x = Tensor(np.random.default_rng(0).standard_normal((1, 1024)).astype(np.float32))
    compiled = compile_module(layer, x, executor=executor)
    np.testing.assert_allclose(compiled(x).array, layer(x).array, rtol=1e-3)
    assert compiled.graph is not None and compiled.reason == ""
    (constant,) = (a for a in compiled.graph.constants.values() if a.nbytes >= sharing.LARGE)
    assert np.shares_memory(constant, layer.weight.array)
