import functools
import http.server
import os
import threading

import pytest
from numserve.archiver import ArchiveError, ModelArchiverConfig, pack
from numserve.server.errors import DownloadFailed, ModelNotFound, ServingError
from numserve.server.store import ModelStore, stem_of


@pytest.fixture
def archive(tmp_path):
    """A small archive in the model store."""
    (tmp_path / "store").mkdir()
    (tmp_path / "handler.py").write_text("def handle(data, context):\n    return data\n")
    return pack(
        ModelArchiverConfig(
            model_name="m", version="2.0", handler=str(tmp_path / "handler.py"), export_path=str(tmp_path / "store")
        )
    )


@pytest.fixture
def make(tmp_path, archive):
    stores = []

    def make(*allowed: str, root: object = tmp_path / "store") -> ModelStore:
        (tmp_path / "temp").mkdir(exist_ok=True)
        stores.append(ModelStore(root, tmp_path / "temp", allowed))
        return stores[-1]

    yield make
    for store in stores:
        store.close()
    assert list((tmp_path / "temp").iterdir()) == []


@pytest.fixture
def web(tmp_path):
    """A web server over the folder `web`, and the paths it was asked for."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path.startswith("/away/"):
                self.send_response(302)
                self.send_header("Location", f"/elsewhere/{self.path.rpartition('/')[2]}")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_): ...

    asked: list[str] = []
    (tmp_path / "web" / "elsewhere").mkdir(parents=True)
    handler = functools.partial(Handler, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


async def test_an_archive_of_the_store_is_unpacked_into_a_private_folder(make, archive):
    store = make()
    files = await store.fetch("m.mar")
    assert files.manifest.model.version == "2.0"
    assert (files.model_dir / "handler.py").is_file()
    assert files.model_dir.stat().st_mode & 0o777 == 0o700
    await store.discard(files)
    assert not files.model_dir.exists()
    assert archive.exists()


async def test_a_folder_is_used_in_place_and_stays(make, tmp_path):
    folder = tmp_path / "store" / "unpacked"
    folder.mkdir()
    (folder / "handler.py").write_text("")
    store = make()
    for url in ("unpacked", str(folder)):
        files = await store.fetch(url)
        assert (files.model_dir / "handler.py").samefile(folder / "handler.py")
        await store.discard(files)
        assert not files.model_dir.is_symlink()
    assert (folder / "handler.py").exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "empty url"),
        ("../m.mar", r"Relative path is not allowed in url: \.\./m\.mar"),
        ("%2e%2e/m.mar", "Relative path is not allowed"),
        ("n.mar", r"Model not found at: n\.mar"),
        ("ftp://example.org/n.mar", "Model not found at: ftp"),
        ("http://127.0.0.1:9/m.mar", "does not match any allowed URL"),
        ("file:///etc/passwd", "does not match any allowed URL"),
        ("FILE:///etc/passwd", "does not match any allowed URL"),
    ],
)
async def test_what_is_not_to_be_had_is_not_found(make, url, message):
    with pytest.raises(ModelNotFound, match=message):
        await make().fetch(url)


async def test_folders_inside_the_store_are_not_searched(make, tmp_path, archive):
    (tmp_path / "store" / "inner").mkdir()
    archive.rename(tmp_path / "store" / "inner" / "deep.mar")
    with pytest.raises(ModelNotFound):
        await make().fetch("inner/deep.mar")


async def test_without_a_store_only_urls_are_found(make, archive):
    store = make("file://.*", root=None)
    assert (await store.fetch(archive.as_uri())).manifest.model.name == "m"
    with pytest.raises(ModelNotFound, match="not been configured"):
        await store.fetch("m.mar")


async def test_an_allowed_url_is_downloaded(make, archive, tmp_path, web):
    base, asked = web
    archive.rename(tmp_path / "web" / "m.mar")
    files = await make(f"{base}/.*").fetch(f"{base}/m.mar")
    assert files.manifest.model.name == "m"
    assert asked == ["/m.mar"]
    assert [*files.model_dir.parent.iterdir()] == [files.model_dir], "the archive is not kept beside its files"


@pytest.mark.parametrize(
    ("allowed", "asked_for"), [(".*/away/.*", ["/away/m.mar"]), (".*", ["/away/m.mar", "/elsewhere/m.mar"])]
)
async def test_a_redirection_must_be_allowed_too(make, archive, tmp_path, web, allowed, asked_for):
    base, asked = web
    archive.rename(tmp_path / "web" / "elsewhere" / "m.mar")
    fetched = make(allowed).fetch(f"{base}/away/m.mar")
    if allowed == ".*":
        await fetched
    else:
        with pytest.raises(DownloadFailed) as caught:
            await fetched
        assert "does not match any allowed URL" in caught.value.detail
    assert asked == asked_for


async def test_a_failed_download_says_so(make, web):
    base, _ = web
    with pytest.raises(DownloadFailed, match=f"Failed to download archive from: {base}/n.mar") as caught:
        await make(".*").fetch(f"{base}/n.mar")
    assert "404" in caught.value.detail


async def test_a_download_ends_at_its_limit(make, web, tmp_path, monkeypatch):
    base, _ = web
    (tmp_path / "web" / "big.mar").write_bytes(bytes(100_000))
    monkeypatch.setattr("numserve.server.download.DOWNLOAD_BYTES", 1000)
    with pytest.raises(DownloadFailed) as caught:
        await make(".*").fetch(f"{base}/big.mar")
    assert "1000 bytes" in caught.value.detail


async def test_a_broken_archive_leaves_nothing(make, tmp_path):
    (tmp_path / "store" / "bad.mar").write_bytes(b"PK no more")
    store = make()
    with pytest.raises(ArchiveError):
        await store.fetch("bad.mar")
    (scratch,) = (tmp_path / "temp").iterdir()
    assert list(scratch.iterdir()) == []


async def test_a_full_disk_is_told_as_such(make, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("numserve.server.store.unpack", full)
    with pytest.raises(ServingError, match="Failed to save model: m.mar") as caught:
        await make().fetch("m.mar")
    assert caught.value.code == 507


@pytest.mark.parametrize(
    ("file", "name"), [("m.mar", "m"), ("a-b.c.mar", "a_b_c"), ("m.tar.gz", "m"), ("_m.model", "m"), (".mar", "model")]
)
def test_a_file_name_becomes_a_model_name(file, name):
    assert stem_of(file) == name
