"""What an archive says of itself, and where it comes from (contract: management API 3.3 and 4, archiver 4)."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

HANDLER = (
    "def handle(data, context):\n    return [str(context.manifest and context.manifest['runtime'])] * len(data or [])\n"
)


def folder(where, name, manifest):
    """An archive that is a folder, with this manifest as text; without one, it has none."""
    made = where / name
    made.mkdir()
    (made / "h.py").write_text(HANDLER)
    if manifest is not None:
        (made / "MAR-INF").mkdir()
        (made / "MAR-INF" / "MANIFEST.json").write_text(manifest)
    return made


@pytest.fixture
def register(contract):
    """Register, and unregister when the test is over."""

    def ask(**parameters):
        return contract.management("POST", f"/models?{urlencode({'initial_workers': 0} | parameters)}")

    yield ask
    for model in contract.management("GET", "/models").json()["models"]:
        contract.management("DELETE", f"/models/{model['modelName']}")


def names(contract):
    return [model["modelName"] for model in contract.management("GET", "/models").json()["models"]]


MANIFESTS = {
    "null-model": ('{"runtime": "python", "model": null}', "Missing Model entry in manifest file."),
    "null-version": (
        '{"runtime": "python", "model": {"modelName": "x", "handler": "h", "modelVersion": null}}',
        "Model version is not defined.",
    ),
    "no-runtime": ('{"model": {"modelName": "x", "handler": "h"}}', "Runtime is not defined or invalid."),
    "odd-runtime": ('{"runtime": "java", "model": {"handler": "h"}}', "Runtime is not defined or invalid."),
    "no-json": ('{"runtime"', "Failed to parse signature.json."),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_cannot_be_used_says_why(contract, register, name):
    text, message = MANIFESTS[name]
    folder(contract.server.store, name, text)
    status, kind, told = register(url=name).error
    assert (status, kind) == (400, "InvalidModelException")
    assert message in told


def test_an_archive_without_a_manifest_needs_a_handler(contract, register):
    folder(contract.server.store, "bare", None)
    assert register(url="bare").error[:2] == (400, "BadRequestException")
    assert register(url="bare", handler="h:handle", model_name="named", initial_workers=1).status == 200
    assert contract.post("/predictions/named").body == b"None"
    assert contract.management("GET", "/models/named").json()[0]["modelVersion"] == "1.0"


def test_a_name_is_made_of_the_files_where_the_manifest_has_none(contract, register):
    folder(contract.server.store, "_odd-name", '{"runtime": "python", "model": {"handler": "h.py"}}')
    assert register(url="_odd-name").status == 200
    assert names(contract) == ["odd_name"]


def test_name_handler_and_runtime_of_the_request_go_before_the_manifests(contract, register):
    model = {"modelName": "its-own", "handler": "none", "modelVersion": "3"}
    folder(contract.server.store, "told", json.dumps({"runtime": "python", "model": model}))
    assert register(url="told", model_name="mine", handler="h", runtime="python3", initial_workers=1).status == 200
    assert contract.management("GET", "/models/mine/3").json()[0]["runtime"] == "python3"
    assert contract.post("/predictions/mine").body == b"python"  # the manifest as it is stored


def test_a_folder_may_be_anywhere_on_the_servers_disk(contract, register, tmp_path):
    outside = folder(tmp_path, "outside", '{"runtime": "python", "model": {"handler": "h.py"}}')
    inner = tmp_path / "wrapped" / "inner"
    inner.parent.mkdir()
    outside.rename(inner)
    assert register(url=str(tmp_path / "wrapped"), initial_workers=1).status == 200
    assert contract.post("/predictions/wrapped").body == b"python"
    contract.management("DELETE", "/models/wrapped")
    assert (inner / "h.py").is_file()


@pytest.mark.parametrize("kind", ["tar.gz", "model"])
def test_any_other_file_is_read_as_tar(contract, register, tmp_path, kind):
    contract.server.archive("packed", "--handler", folder(tmp_path, "made", None) / "h.py", "--archive-format", "tgz")
    made = contract.server.store / "packed.tar.gz"
    made.rename(contract.server.store / f"renamed.{kind}")
    assert register(url=f"renamed.{kind}", initial_workers=1).status == 200
    assert contract.post("/predictions/packed").body == b"python"


def test_sub_folders_of_the_store_are_not_searched(contract, register):
    (contract.server.store / "below").mkdir()
    folder(contract.server.store / "below", "deep", '{"runtime": "python", "model": {"handler": "h.py"}}')
    assert register(url="below/deep").error[:2] == (404, "ModelNotFoundException")


@pytest.fixture(scope="module")
def fetching(contract, tmp_path_factory):
    """A server that may copy from one folder, and that folder."""
    serving = type(contract.server)
    place = tmp_path_factory.mktemp("place")
    server = serving(tmp_path_factory.mktemp("fetching"))
    with server.config.open("a") as file:
        file.write(f"allowed_urls=file://{place}/.*\n")
    server.start()
    yield server, place
    server.run("numserve", "--stop")


def test_a_file_url_is_fetched_where_it_is_allowed(fetching, deviates):
    deviates("an archive from a URL")
    server, place = fetching
    server.archive("fetched", "--handler", folder(place, "made", None) / "h.py")
    archive = (server.store / "fetched.mar").rename(place / "fetched.mar")

    def register(url):
        return server.call("management", f"/models?{urlencode({'url': url})}", "POST")

    assert register(f"file://{archive}")[0] == 200
    assert server.call("inference", "/predictions/fetched", "POST", b"x") == (200, b"python")
    assert server.call("management", "/models/fetched", "DELETE")[0] == 200
    assert archive.is_file() and list(server.store.iterdir()) == []
    status, told = register(f"file://{place}/none.mar")
    assert (status, json.loads(told)["type"]) == (400, "DownloadArchiveException")
    assert json.loads(told)["message"] == f"Failed to download archive from: file://{place}/none.mar"
    assert register(f"file://{place.parent}/else.mar")[0] == 404
