"""`numserve config`: the configuration that counts, and where each value comes from."""

from __future__ import annotations

import pytest
from numserve.server.effective import as_lines
from numserve.server.settings import Settings


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("LOG_LOCATION", "TS_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_each_value_tells_where_it_comes_from(server, monkeypatch):
    monkeypatch.setenv("TS_MAX_REQUEST_SIZE", "7")
    monkeypatch.setenv("NUMSERVE_TOKENS", "predict 0123456789abcdef")
    server.config.write_text("job_queue_size=8\nenable_envvars_config=true\nload_modls=all\nvmargs=-Xmx1g\n")
    arguments = ("--ts-config", str(server.config), "--model-store", "store", "--models", "a", "b=c")
    done = server.run("numserve", "config", "--origin", *arguments)
    told = {line.split()[0]: line.split(maxsplit=2)[1:] for line in done.stdout.splitlines()}

    assert done.returncode == 0
    assert told["job_queue_size"] == ["8", f"{server.config} line 1"]
    assert told["max_request_size"] == ["7", "environment variable TS_MAX_REQUEST_SIZE"]
    assert told["load_models"] == ["a,b=c", "command line"]
    assert told["log_location"][1] == "environment variable LOG_LOCATION"
    assert told["max_response_size"] == ["6553500", "default"]
    assert set(told) == set(Settings.known_keys())
    assert "line 3: there is no key 'load_modls'; it is ignored. Did you mean load_models?" in done.stderr
    assert "line 4: vmargs is not served" in done.stderr
    assert "0123456789abcdef" not in done.stdout + done.stderr


def test_a_value_that_cannot_be_used_is_named(server):
    server.config.write_text("job_queue_size=x\n")
    done = server.run("numserve", "config", "--ts-config", str(server.config))
    assert (done.returncode, "job_queue_size = 'x'" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "job_queue_size=5\nmetric_time_interval=1.5\nenable_model_api=true\nload_models=a.mar, b=c.mar\n",
        'models={"m": {"1.0": {"minWorkers": 2, "mine": [1, "\\\\n"]}}}\nallowed_urls=https?://a\\\\.b/.*\n',
        "inference_address=https://[::1]:9\ncors_allowed_origin=\\ x\nmodel_store=C:\\\\models\n",
        'model_snapshot={"models": {"m": {"1.0": {"marName": "m.mar"}}}}\n',
        "disable_token_authorization=false\n",
    ],
)
def test_what_is_shown_can_be_read_again(place, text):
    (place / "config.properties").write_text(text)
    before = Settings.load()
    (place / "again").write_text("\n".join(as_lines(before, origin=False)))
    after = Settings.load(ts_config="again")
    values = [{key: getattr(each, key) for key in Settings.known_keys()} for each in (before, after)]
    assert values[0] == values[1]
    assert not after.warnings
