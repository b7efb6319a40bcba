"""MANIFEST.json: what is read, what is refused and with which words."""

import json
from typing import Any

import pytest
from numserve.archiver import ArchiveError, Manifest
from numserve.archiver.manifest import check_name


def manifest(**changes: Any) -> str:
    return json.dumps({"runtime": "python", "model": {"modelName": "m"}} | changes)


def test_every_key_is_read() -> None:
    model = {
        "modelName": "m", "modelVersion": "2", "handler": "h:go", "serializedFile": "w.pt", "modelFile": "m.py",
        "requirementsFile": "r.txt", "configFile": "c.yaml", "envelope": "kserve", "sourceVocab": "v.pt",
    }  # fmt: skip
    text = manifest(createdOn="now", archiverVersion="9", description="d", model=model, more=[1])
    read = Manifest.parse(text)
    entry = read.model
    assert (read.created_on, read.archiver_version, read.description, read.runtime) == ("now", "9", "d", "python")
    assert (entry.name, entry.version, entry.handler, entry.envelope, entry.source_vocab) == (
        "m", "2", "h:go", "kserve", "v.pt",
    )  # fmt: skip
    assert entry.files == {
        "serializedFile": "w.pt", "modelFile": "m.py", "requirementsFile": "r.txt", "configFile": "c.yaml",
    }  # fmt: skip
    assert read.raw == json.loads(text)


def test_the_version_is_1_0_where_the_key_is_absent() -> None:
    assert Manifest.parse(manifest()).model.version == "1.0"


def test_a_number_counts_as_its_text() -> None:
    assert Manifest.parse(manifest(model={"modelVersion": 2.5, "modelName": 7})).model.version == "2.5"


def test_a_byte_order_mark_is_passed_over() -> None:
    assert Manifest.parse(b"\xef\xbb\xbf" + manifest().encode()).model.name == "m"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "Failed to parse signature.json. .* not JSON"),
        (b"", "Failed to parse signature.json."),
        (b"[]", "Failed to parse signature.json. .* a list was found"),
        (b'{"model": "\xff"}', "Failed to parse signature.json. .* not UTF-8"),
        ("{}".encode("utf-16"), "Failed to parse signature.json. .* not UTF-8"),
        (b'{"a":' * 100_000, "Failed to parse signature.json. .* nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "Failed to parse signature.json."),
        (b'{"a": NaN}', "Failed to parse signature.json. .* NaN"),
        (manifest(model=[]), "Failed to parse signature.json. .* model is not an object"),
        (manifest(model={"handler": {}}), "Failed to parse signature.json. .* handler is no text"),
        (manifest(model=None), "^Missing Model entry in manifest file.$"),
        (b'{"runtime": "python"}', "^Missing Model entry in manifest file.$"),
        (manifest(model={"modelVersion": None}), "^Model version is not defined.$"),
        (manifest(runtime="ruby"), 'Runtime is not defined or invalid. It is "ruby"'),
        (b'{"model": {}}', "Runtime is not defined or invalid."),
        (manifest(runtime=["python"]), "Runtime is not defined or invalid."),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_in_torchserves_words(text: str | bytes, words: str) -> None:
    with pytest.raises(ArchiveError, match=words):
        Manifest.parse(text)


@pytest.mark.parametrize("key", ["handler", "serializedFile", "modelFile", "requirementsFile", "configFile"])
@pytest.mark.parametrize("path", ["../x.py", "/etc/passwd", "a/../../x", "a\\b", "a\0b", "．．/x", "\ud800"])
def test_a_path_out_of_the_archive_is_refused(key: str, path: str) -> None:
    with pytest.raises(ArchiveError, match=f"model.{key} names no file of the archive"):
        Manifest.parse(manifest(model={key: path}))


def test_a_drive_letter_is_refused() -> None:
    with pytest.raises(ArchiveError, match="has an absolute path"):
        Manifest.parse(manifest(model={"serializedFile": "C:x"}))


def test_a_handler_in_a_folder_with_a_function_is_read() -> None:
    assert Manifest.parse(manifest(model={"handler": "code/h.py:go"})).model.handler == "code/h.py:go"


@pytest.mark.parametrize("name", ["a", "0", "A-b_c.d", "9.9"])
def test_names_that_models_may_have(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "-a", "_a", ".a", "a b", "a/b", "é", "a\n", "a@b"])
def test_names_that_models_may_not_have(name: str) -> None:
    with pytest.raises(ArchiveError, match="^Model name contains special characters.\nThe allowed regular expression"):
        check_name(name)
