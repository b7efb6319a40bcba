"""Files made to do harm: each is refused in one sentence, and nothing in it runs, is imported or outlives the load."""

from __future__ import annotations

import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numserve.engine import Tensor, formats
from numserve.engine.errors import FormatError
from numserve.engine.formats.allowed import NAMES

Write = Callable[..., Path]


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def group(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str = "0", length: int = 4, kind: str = "torch\nFloatStorage") -> bytes:
    return b"(" + text("storage") + f"c{kind}\n".encode() + text(key) + text("cpu") + number(length) + b"tQ"


def tensor(
    shape: Sequence[int] = (4,), strides: Sequence[int] = (1,), offset: int = 0,
    base: bytes = storage(), grad: bytes = b"\x89", more: bytes = b"",
) -> bytes:  # fmt: skip
    window = number(offset) + group(shape) + group(strides)
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + base + window + grad + b"ccollections\nOrderedDict\n)R" + more + b"tR"
    )


def pickled(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."


def test_the_helpers_make_a_checkpoint_that_loads(checkpoint: Write) -> None:
    loaded = formats.load(checkpoint(pickled(tensor((2, 2), (2, 1)))))
    assert loaded.array.tobytes() == bytes(range(16))


RUNS = {
    "os.system": b"cos\nsystem\n" + text("touch canary") + b"\x85R",
    "posix.system": b"cposix\nsystem\n" + text("touch canary") + b"\x85R",
    "eval": b"c__builtin__\neval\n" + text("open('canary', 'w')") + b"\x85R",
    "exec": b"cbuiltins\nexec\n" + text("open('canary', 'w')") + b"\x85R",
    "getattr": b"cbuiltins\ngetattr\n(cbuiltins\ndict\n" + text("get") + b"tR",
    "open": b"cio\nopen\n" + text("canary") + text("w") + b"\x86R",
    "a module of the user's": b"ccanary_module\nrun\n)R",
    "a class by NEWOBJ": b"ccanary_module\nRun\n)\x81",
    "a class by NEWOBJ_EX": b"ccanary_module\nRun\n)}\x92",
    "a class by INST": b"(icanary_module\nRun\n",
    "a class by OBJ": b"(ccanary_module\nRun\no",
    "a class by BUILD": b"ccanary_module\nRun\n)\x81}b",
    "STACK_GLOBAL": b"\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch canary\x85R",
    "STACK_GLOBAL with dots": text("torch") + text("_utils._rebuild_tensor_v2") + b"\x93)R",
    "STACK_GLOBAL through a class": text("collections") + text("OrderedDict.__init__.__globals__") + b"\x93",
    "GLOBAL with dots": b"ctorch\nserialization.os.system\n" + text("touch canary") + b"\x85R",
    "an extension code": b"\x82\x01",
    "a persistent id as text": b"Ptouch canary\n",
    "a nested load": b"ctorch.storage\n_load_from_bytes\n" + text("x") + b"\x85R",
    "pickle.loads": b"c_pickle\nloads\n" + text("x") + b"\x85R",
    "functools.partial": b"cfunctools\npartial\ncos\nsystem\n\x85R",
    "numpy's own pickle": b"cnumpy\nload\n" + text("canary") + b"\x85R",
    "inside a state_dict": b"}" + text("w") + b"cos\nsystem\n" + text("touch canary") + b"\x85Rs",
    "as a tensor's builder": b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n)NtR",
    "a builder inside itself": b"ctorch._tensor\n_rebuild_from_type_v2\n(2ctorch\nTensor\n)NtR",
    "a call of what a call gave": b"ccollections\nOrderedDict\n)R)R",
    "a call of a storage class": b"ctorch\nFloatStorage\n)R",
    "a call of a marker": b"ctorch\nTensor\n)R",
    "a call of a dtype": b"ctorch\nfloat32\n)R",
    "a text codec that decompresses": b"c_codecs\nencode\n" + text("x") + text("zlib_codec") + b"\x86R",
    "a codec of the user's": b"c_codecs\nencode\n" + text("x") + text("canary_module") + b"\x86R",
}


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_nothing_a_file_names_is_run_or_imported(
    name: str, form: str, checkpoint: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "canary_module.py").write_text("open('canary', 'w')\ndef run(): pass\nclass Run: pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = checkpoint(pickled(RUNS[name]))
    if form == "legacy":
        path.write_bytes(LEGACY + pickled(RUNS[name]) + pickled(b"]"))
    with pytest.raises(FormatError):
        formats.load(path)
    assert not (tmp_path / "canary").exists()
    assert "canary_module" not in sys.modules


MAGIC = pickled(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19")
LEGACY = MAGIC + pickled(number(1001)) + pickled(b"}")


def test_a_bare_pickle_and_an_old_tar_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.pth"
    path.write_bytes(pickled(RUNS["os.system"]))
    with pytest.raises(FormatError, match="bare pickle"):
        formats.load(path)
    path.write_bytes(b"pickle".ljust(257, b"\0") + b"ustar  \0" + b"\0" * 2000)
    with pytest.raises(FormatError, match="tar file"):
        formats.load(path)


GEOMETRY = {
    "negative offset": tensor(offset=-1),
    "negative size": tensor((-4,)),
    "negative stride": tensor((4,), (-1,), 3),
    "one past the end": tensor((5,)),
    "offset at the end": tensor((1,), (1,), 4),
    "offset with a scalar": tensor((), (), 4),
    "stride past the end": tensor((2,), (4,)),
    "sizes whose product wraps at 64 bits": tensor((1 << 32, 1 << 32), (1 << 32, 1)),
    "strides whose product wraps at 64 bits": tensor((2, 2), (1 << 63, 1 << 63)),
    "a size of 2^63": tensor((1 << 63,), (0,)),
    "2^62 elements of one": tensor((1 << 31, 1 << 31), (0, 0)),
    "a stride of 2^200": tensor((1,), (1 << 200,)),
    "fewer strides than sizes": tensor((2, 2), (1,)),
    "65 dimensions": tensor((1,) * 65, (1,) * 65),
    "a size that is a boolean": b"ctorch._utils\n_rebuild_tensor\n(" + storage() + b"K\0\x88\x85K\1\x85tR",
    "sizes that are text": b"ctorch._utils\n_rebuild_tensor\n(" + storage() + b"K\0" + text("4") + b"K\1\x85tR",
    "an offset that is a fraction": b"ctorch._utils\n_rebuild_tensor\n(" + storage() + b"F0.5\nK\4\x85K\1\x85tR",
    "a storage that is none": b"ctorch._utils\n_rebuild_tensor\n(NK\0K\4\x85K\1\x85tR",
    "too few arguments": b"ctorch._utils\n_rebuild_tensor\n(" + storage() + b"tR",
    "too many arguments": tensor(more=b"NNNNNN"),
    "a storage larger than its record": tensor((4,), base=storage(length=5)),
    "a storage of negative length": tensor((0,), base=storage(length=-1)),
    "a storage of 2^62 elements": tensor((1,), base=storage(length=1 << 62)),
    "a storage without a record": tensor(base=storage("7")),
    "a storage outside the archive": tensor(base=storage("../version")),
    "a gradient of integers": tensor((2,), base=storage(length=2, kind="torch\nLongStorage"), grad=b"\x88"),
    "a gradient of maybe": tensor(grad=b"N"),
    "a conjugated integer": tensor(
        (2,), base=storage(length=2, kind="torch\nLongStorage"), more=b"}" + text("conj") + b"\x88s"
    ),
    "a persistent id of the wrong kind": b"(" + text("module") + b"NNtQ",
    "a persistent id that is a number": b"K\1Q",
    "a class as a result": b"ctorch\nFloatStorage\n",
    "a function as a result": b"}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\ns",
}


@pytest.mark.parametrize("name", GEOMETRY)
def test_a_tensor_never_reaches_outside_its_storage(name: str, checkpoint: Write) -> None:
    with pytest.raises(FormatError):
        formats.load(checkpoint(pickled(GEOMETRY[name])))


def test_what_has_no_elements_may_lie_anywhere(checkpoint: Write) -> None:
    assert formats.load(checkpoint(pickled(tensor((0, 7), (7, 1), 99)))).shape == (0, 7)


@pytest.mark.parametrize("kind", ["Float", "BFloat16", "Bool", "QUInt4x2"])
def test_a_view_of_a_terabyte_over_16_bytes_costs_nothing(kind: str, checkpoint: Write) -> None:
    path = checkpoint(pickled(tensor((1 << 20, 1 << 20), (0, 0), base=storage(kind=f"torch\n{kind}Storage"))))
    with _at_most(32 << 20):
        assert formats.load(path).shape == (1 << 20, 1 << 20)


def test_conjugating_a_large_view_costs_nothing(checkpoint: Write) -> None:
    flag = b"}" + text("conj") + b"\x88s"
    base = storage(length=2, kind="torch\nComplexFloatStorage")
    with _at_most(32 << 20):
        assert (
            formats.load(checkpoint(pickled(tensor((1 << 20, 1 << 20), (0, 0), base=base, more=flag)))).shape[0]
            == 1 << 20
        )


def test_booleans_are_made_to_be_0_or_1(checkpoint: Write) -> None:
    loaded = formats.load(checkpoint(pickled(tensor((16,), base=storage(length=16, kind="torch\nBoolStorage")))))
    assert loaded.array.view(np.uint8).tolist() == [0] + [1] * 15


BUILDS = {
    "a builder": b"ctorch._utils\n_rebuild_tensor_v2\n}" + text("__defaults__") + b")sb",
    "a builder's function": b"ctorch._utils\n_rebuild_tensor_v2\n}" + text("function") + b"Nsb",
    "a builder by slots": b"ctorch._utils\n_rebuild_tensor_v2\nN}" + text("function") + b"Ns\x86b",
    "OrderedDict itself": b"ccollections\nOrderedDict\n}" + text("_metadata") + b"}sb",
    "a dtype": b"ctorch\nfloat32\n}" + text("name") + text("int8") + b"sb",
    "a storage class": b"ctorch\nFloatStorage\n}" + text("element") + b"Nsb",
    "a tensor": tensor() + b"}" + text("offset") + number(99) + b"sb",
    "a storage": storage() + b"}" + text("length") + number(99) + b"sb",
    "a list": b"]}b",
    "a state_dict with a list": b"ccollections\nOrderedDict\n)R]b",
    "an array with too little": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n)NtR)b",
}


@pytest.mark.parametrize("name", BUILDS)
def test_build_alters_nothing_that_outlives_the_load(name: str, checkpoint: Write) -> None:
    before = dict(NAMES)
    with pytest.raises(FormatError):
        formats.load(checkpoint(pickled(BUILDS[name])))
    assert before == NAMES
    assert formats.load(checkpoint(pickled(tensor()))).shape == (4,)


def test_of_a_state_dicts_attributes_only_plain_metadata_is_kept(checkpoint: Write) -> None:
    attributes = (
        text("items") + b"N" + text("__class__") + b"N"
        + text("_metadata") + b"}(" + text("") + b"}" + text("version") + b"K\2s" + text("x") + b"Nu"
    )  # fmt: skip
    loaded = formats.load(checkpoint(pickled(b"ccollections\nOrderedDict\n)R}(" + attributes + b"ub")))
    assert list(loaded.items()) == []
    assert vars(loaded) == {"_metadata": {"": {"version": 2}}}


NUMPY = b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85" + text("b") + b"tR"


def dtype(code: str, order: str = "<") -> bytes:
    state = b"(K\3" + text(order) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    return b"cnumpy\ndtype\n(" + text(code) + b"\x89\x88tR" + state


ARRAYS = {
    "objects": NUMPY + b"(K\1K\1\x85" + dtype("O8", "|") + b"\x89](Neltb",
    "object data": NUMPY + b"(K\1K\1\x85" + dtype("f8") + b"\x89](Netb",
    "a structure": NUMPY + b"(K\1K\1\x85" + dtype("f8,f8") + b"\x89C\x08" + b"x" * 8 + b"tb",
    "a terabyte of text": NUMPY + b"(K\1)" + dtype("S1099511627776") + b"\x89C\1xtb",
    "more than its bytes": NUMPY + b"(K\1M\0\1\x85" + dtype("f8") + b"\x89C\x08" + b"x" * 8 + b"tb",
    "a negative size": NUMPY + b"(K\1J\xff\xff\xff\xff\x85" + dtype("f8") + b"\x89C\x08" + b"x" * 8 + b"tb",
    "a strange byte order": NUMPY + b"(K\1K\1\x85" + dtype("f8", "?") + b"\x89C\x08" + b"x" * 8 + b"tb",
    "nothing": NUMPY,
    "a short number": b"cnumpy._core.multiarray\nscalar\n" + dtype("f8") + b"C\x04xxxx\x86R",
    "an object": b"cnumpy._core.multiarray\nscalar\n" + dtype("O8", "|") + b"C\x08xxxxxxxx\x86R",
}


@pytest.mark.parametrize("name", ARRAYS)
def test_numpy_values_are_numbers_and_text_only(name: str, checkpoint: Write) -> None:
    with pytest.raises(FormatError):
        formats.load(checkpoint(b"\x80\x03" + ARRAYS[name] + b"."))


def test_a_tensor_saved_from_another_device_is_a_tensor(checkpoint: Write) -> None:
    array = NUMPY + b"(K\1K\1\x85" + dtype("f4") + b"\x89C\x04\0\0\x80\x3ftb"
    call = (
        b"ctorch._utils\n_rebuild_device_tensor_from_numpy\n("
        + array
        + b"ctorch\nfloat32\n"
        + text("xla:0")
        + b"\x89tR"
    )
    loaded = formats.load(checkpoint(b"\x80\x03" + call + b"."))
    assert (type(loaded), loaded.tolist()) == (Tensor, [1.0])


@pytest.mark.parametrize("code", ["U4", "f16", "M8", "V8", "G"])
def test_such_a_tensor_holds_numbers(code: str, checkpoint: Write) -> None:
    array = NUMPY + b"(K\1)" + dtype(code) + b"\x89C\x10" + b"\0" * 16 + b"tb"
    call = (
        b"ctorch._utils\n_rebuild_device_tensor_from_numpy\n("
        + array
        + b"ctorch\nfloat32\n"
        + text("xla:0")
        + b"\x89tR"
    )
    with pytest.raises(FormatError):
        formats.load(checkpoint(b"\x80\x03" + call + b"."))


SHAPES = {
    "20,000 nested lists": (b"]" * 20_000 + b"a" * 19_999, "nested"),
    "20,000 nested tuples": (b"N" + b"\x85" * 20_000, "nested"),
    "20,000 nested dicts": (b"}K\0" * 20_000 + b"N" + b"s" * 20_000, "nested"),
    "a list in itself": (b"]q\0h\0a", "contains itself"),
    "a dict in its own tuple": (b"}q\0K\1h\0\x85s", "contains itself"),
    "tuples that unfold to 2^64": (b"N" + b"2\x86" * 64, "unfold"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_what_would_break_a_recursive_walk_is_refused(name: str, checkpoint: Write) -> None:
    data, reason = SHAPES[name]
    start = time.perf_counter()
    with _at_most(128 << 20), pytest.raises(FormatError, match=reason):
        formats.load(checkpoint(pickled(data)))
    assert time.perf_counter() - start < 20


def test_names_are_quoted_on_one_line(checkpoint: Write) -> None:
    with pytest.raises(FormatError) as caught:
        formats.load(checkpoint(b"\x80\x04](" + text("os\n\x1b[2J\u202e") + text("x" * 5000) + b"\x93e."))
    message = str(caught.value).replace("made.pth", "")
    assert message.isprintable()
    assert len(message) < 600


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"ctorch.nn.modules.linear\nLinear\n)\x81", "whole pickled module"),
        (b"c__main__\nNet\n)\x81", "__main__.Net.*state_dict"),
        (b"}" + text("args") + b"cargparse\nNamespace\n)\x81s", "argparse.Namespace.*not imported"),
    ],
)
def test_a_refusal_says_what_the_file_is_and_what_to_do(value: bytes, says: str, checkpoint: Write) -> None:
    with pytest.raises(FormatError, match=says):
        formats.load(checkpoint(pickled(value)))


def test_a_whole_module_in_legacy_form_is_named(tmp_path: Path) -> None:
    path = tmp_path / "whole.pth"
    module = b"(" + text("module") + b"c__main__\nNet\n" + text("net.py") + text("class Net: ...") + b"tQ)\x81"
    path.write_bytes(LEGACY + pickled(module) + pickled(b"]"))
    with pytest.raises(FormatError, match="__main__.Net.*state_dict"):
        formats.load(path)


LEGACY_TENSOR = tensor(base=storage()[:-2] + b"NtQ")
LEGACY_DAMAGE: dict[str, tuple[bytes, bytes, bytes]] = {
    "no data": (LEGACY_TENSOR, b"]" + text("0") + b"a", b""),
    "half the data": (LEGACY_TENSOR, b"]" + text("0") + b"a", (4).to_bytes(8, "little") + b"x" * 15),
    "another length": (LEGACY_TENSOR, b"]" + text("0") + b"a", (5).to_bytes(8, "little") + b"x" * 20),
    "a negative length": (LEGACY_TENSOR, b"]" + text("0") + b"a", b"\xff" * 8 + b"x" * 16),
    "a storage left out": (LEGACY_TENSOR, b"]", b""),
    "a storage twice": (
        LEGACY_TENSOR,
        b"](" + text("0") + text("0") + b"e",
        ((4).to_bytes(8, "little") + b"x" * 16) * 2,
    ),
    "an unknown storage": (LEGACY_TENSOR, b"]" + text("1") + b"a", (4).to_bytes(8, "little") + b"x" * 16),
    "keys that are numbers": (LEGACY_TENSOR, b"]K\0a", b""),
    "keys that are none": (LEGACY_TENSOR, b"N", b""),
    "a view that leaves its storage": (
        tensor(base=storage()[:-2] + b"(" + text("v") + b"K\3K\2ttQ"),
        b"]" + text("0") + b"a",
        (4).to_bytes(8, "little") + b"x" * 16,
    ),
}


@pytest.mark.parametrize("name", LEGACY_DAMAGE)
def test_legacy_storages_must_be_there_as_declared(name: str, tmp_path: Path) -> None:
    value, keys, data = LEGACY_DAMAGE[name]
    path = tmp_path / "legacy.pth"
    path.write_bytes(LEGACY + pickled(value) + pickled(keys) + data)
    with pytest.raises(FormatError):
        formats.load(path)


def test_a_legacy_view_shares_memory_with_its_storage(tmp_path: Path) -> None:
    view = storage()[:-2] + b"(" + text("v") + b"K\1K\3ttQ"
    whole, part = LEGACY_TENSOR, tensor((3,), base=view)
    path = tmp_path / "legacy.pth"
    content = (4).to_bytes(8, "little") + np.arange(4, dtype="<f4").tobytes()
    path.write_bytes(LEGACY + pickled(whole + part + b"\x86") + pickled(b"]" + text("0") + b"a") + content)
    first, second = formats.load(path)
    assert second.tolist() == [1, 2, 3]
    assert np.shares_memory(first.array, second.array)


FRAGMENTS = [
    *[f"c{module}\n{name}\n".encode() for module, name in NAMES],
    *[bytes([code]) for code in b"NR\x81btlde]})(su20aQ\x85\x86\x87\x88\x89\x8f\x90\x91\x93\x941"] * 4,
    *[b"K\0", b"K\4", b"J\xff\xff\xff\xff", b"q\0", b"h\0", b"G?\xe0\0\0\0\0\0\0", b"C\x04abcd", number(1 << 70)] * 4,
    *map(text, ("0", "conj", "_metadata", "per_tensor_affine", "torch.sparse_coo", "latin1", "cuda:x")),
    storage(), tensor(), tensor((2, 2), (2, 1)), dtype("f8"), dtype("?", "|"), NUMPY, group((1, 2)),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_random_programs_load_or_are_refused(seed: int, checkpoint: Write) -> None:
    chance, outcomes = random.Random(seed), set()
    for _ in range(150):
        arguments = b"".join(chance.choices(FRAGMENTS, k=chance.randrange(8)))
        call = chance.choice(FRAGMENTS) + b"(" + arguments + chance.choice([b"tR", b"t\x81", b"tR}b", b"l", b"d", b"t"])
        try:
            formats.load(checkpoint(pickled(call)))
            outcomes.add("loaded")
        except FormatError as error:
            assert str(error).isprintable()
            outcomes.add("refused")
    assert "refused" in outcomes


class _at_most:
    """No more than so many bytes are allocated at any time within."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def __enter__(self) -> None:
        tracemalloc.start()

    def __exit__(self, *_: Any) -> None:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < self._limit
