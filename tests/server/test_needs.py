"""What can be seen of a model's needs."""

import json
import os
import zipfile
from pathlib import Path

import pytest
from numserve.server.messages import ModelSpec
from numserve.server.needs import needs_of, needs_of_archive

ECHO = "def handle(data, context):\n    return data\n"


def spec(folder: Path, source: str = ECHO, handler: str = "h.py", **given) -> ModelSpec:
    (folder / "h.py").write_text(source)
    return ModelSpec("m", "1.0", str(folder), handler, **given)


@pytest.mark.parametrize("handler", ["h.py", "h", "h.py:handle", "h:handle"])
def test_an_echo_needs_python_alone(tmp_path, handler):
    (tmp_path / "MAR-INF").mkdir()
    (tmp_path / "words.txt").write_text("import torch\n")
    assert needs_of(spec(tmp_path, handler=handler, manifest={"model": {"handler": handler}})) == "python"


@pytest.mark.parametrize(
    "line",
    ["import os, json as j", "from collections.abc import Mapping", "import helper", "def f():\n    import xml.dom  "],
)
def test_pythons_own_modules_and_the_archives_are_python(tmp_path, line):
    (tmp_path / "helper.py").write_text("import math\n")
    assert needs_of(spec(tmp_path, f"{line}\n{ECHO}")) == "python"


@pytest.mark.parametrize("line", ["import numpy as np", "from sklearn.svm import SVC", "import helper"])
def test_packages_on_numpy_need_numpy(tmp_path, line):
    (tmp_path / "helper.py").write_text("import numpy.linalg\n")
    assert needs_of(spec(tmp_path, f"{line}\n{ECHO}")) == "numpy"


@pytest.mark.parametrize(
    "line",
    [
        "import torch",
        "import os, numpy as np, torch",
        "from ts.torch_handler.base_handler import BaseHandler",
        "from .other import thing",
        "import helper",
    ],
)
def test_other_modules_may_need_the_engine(tmp_path, line):
    (tmp_path / "helper.py").write_text("import PIL.Image\n")
    assert needs_of(spec(tmp_path, f"{line}\n{ECHO}")) == "engine"


@pytest.mark.parametrize(
    "line", ["def f():\n    import torch", "try:\n\tfrom torch import nn\nexcept ImportError:\n\tpass"]
)
def test_what_may_never_be_imported_counts_where_several_would_share_it(tmp_path, line):
    assert needs_of(spec(tmp_path, f"{line}\n{ECHO}")) == "python"
    assert needs_of(spec(tmp_path, f"{line}\n{ECHO}", several=True)) == "engine"


@pytest.mark.parametrize(
    "given",
    [
        {"handler": "image_classifier"},
        {"handler": "package/h.py"},
        {"envelope": "json"},
        {"config": {"engine": {"executor": "numpy"}}},
        {"config": {"signature": {"inputs": []}}},
        {"manifest": {"model": {"serializedFile": "weights.pt"}}},
        {"manifest": {"model": {"modelFile": "model.py"}}},
    ],
)
def test_what_the_engine_has_a_part_in_needs_it(tmp_path, given):
    assert needs_of(spec(tmp_path, **given)) == "engine"


def test_what_is_not_looked_at_may_need_it(tmp_path):
    made = spec(tmp_path)
    assert needs_of(made) == "python"
    (tmp_path / "package").mkdir()
    assert needs_of(made) == "engine"
    assert needs_of(ModelSpec("m", "1.0", str(tmp_path / "gone"), "h.py")) == "engine"


def test_files_that_are_called_as_others_modules_change_nothing(tmp_path):
    made = spec(tmp_path)
    for name in ("numpy.py", "random.py"):
        (tmp_path / name).write_text("")
        assert needs_of(made) == "engine"
        (tmp_path / name).unlink()
    assert needs_of(made) == "python"


def test_what_is_no_file_is_not_waited_for(tmp_path):
    made = spec(tmp_path)
    os.mkfifo(tmp_path / "pipe.py")
    assert needs_of(made) == "engine"


def test_too_much_to_read_may_need_it(tmp_path):
    made = spec(tmp_path)
    (tmp_path / "table.py").write_text("#" * (1 << 18))
    assert needs_of(made) == "engine"


@pytest.mark.parametrize(
    ("source", "more", "needs"),
    [
        (ECHO, {}, "python"),
        (f"import helper\n{ECHO}", {"helper.py": "import numpy"}, "numpy"),
        (f"import torch\n{ECHO}", {}, "engine"),
        (ECHO, {"folder/words.txt": ""}, "engine"),
        (ECHO, {"table.py": "#" * (1 << 18)}, "engine"),
        (ECHO, {"notes.txt": "import torch", "MAR-INF/x.py": "import torch"}, "python"),
    ],
)
def test_an_archive_tells_before_it_is_unpacked(tmp_path, source, more, needs):
    manifest = {"runtime": "python", "model": {"modelName": "m", "modelVersion": "1.0", "handler": "h.py"}}
    with zipfile.ZipFile(tmp_path / "m.mar", "w") as file:
        for name, text in {"h.py": source, **more, "MAR-INF/MANIFEST.json": json.dumps(manifest)}.items():
            file.writestr(name, text)
    assert needs_of_archive(tmp_path / "m.mar") == needs


def test_an_archive_that_cannot_be_read_tells_nothing(tmp_path):
    (tmp_path / "m.mar").write_bytes(b"PK")
    with zipfile.ZipFile(tmp_path / "deep.mar", "w") as file:
        file.writestr("MAR-INF/MANIFEST.json", "[" * 100_000)
    assert [needs_of_archive(tmp_path / name) for name in ("m.mar", "deep.mar", "gone.mar", "m.tar.gz")] == [
        "python"
    ] * 4
