"""`numserve doctor`: what of a TorchServe installation works here, what does not, and why."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner
from numserve.server.cli import cli

GOOD = "def handle(data, context):\n    return data\n"
BAD = "import no_such_module\n\ndef handle(data, context):\n    return data\n"


@pytest.fixture
def doctor(tmp_path, monkeypatch):
    """Run the command over a path in a folder of its own; returns the exit code and the lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TS_CONFIG_FILE", raising=False)
    (tmp_path / "store").mkdir()

    def run(*arguments):
        done = CliRunner().invoke(cli, ["doctor", *map(str, arguments)])
        assert not isinstance(done.exception, Exception), done.exception
        return done.exit_code, done.output.splitlines()

    return run


def folder_archive(store, name, handler=GOOD, yaml=""):
    """An archive that is a folder."""
    (store / name / "MAR-INF").mkdir(parents=True)
    (store / name / "h.py").write_text(handler)
    (store / name / "c.yaml").write_text(yaml)
    text = f'{{"runtime": "python", "model": {{"modelName": "{name}", "handler": "h.py", "configFile": "c.yaml"}}}}'
    (store / name / "MAR-INF" / "MANIFEST.json").write_text(text)


def test_a_store_is_gone_through_archive_by_archive(doctor, tmp_path):
    store = tmp_path / "store"
    folder_archive(store, "bad", BAD)
    folder_archive(store, "good", yaml="minWorkers: 1\ntorchrun: {}\n")
    (store / "torn.mar").write_bytes(b"no archive")
    code, lines = doctor(store)
    assert code == 1
    assert lines[0].startswith("fails  bad: does not load (")
    assert "no_such_module" in lines[0]
    assert lines[1] == (
        "note   good: c.yaml line 2: torchrun is not served and is ignored: models are not split over workers"
    )
    assert lines[2].startswith("works  good: loads in ")
    assert lines[3].startswith("fails  torn.mar: cannot be unpacked: ")


def test_without_loading_nothing_of_an_archive_is_run(doctor, tmp_path):
    folder_archive(tmp_path / "store", "bad", f"open({str(tmp_path / 'ran')!r}, 'w')\n{BAD}")
    assert doctor(tmp_path / "store", "--static") == (0, ["works  bad: can be unpacked (handler h.py)"])
    assert not (tmp_path / "ran").exists()


def test_a_configuration_is_gone_through_key_by_key(doctor, tmp_path):
    folder_archive(tmp_path / "store", "good")
    (tmp_path / "ts.properties").write_text(
        "inference_address=http://0.0.0.0:8080\nmetrics_address=https://127.0.0.1\nvmargs=-Xmx4g\njob_queue_sise=3\n"
        "keystore=k.p12\nmodel_store=store\nload_models=good,gone=gone.mar,http://h/x.mar\n"
    )
    code, lines = doctor("ts.properties", "--static")
    told = "\n".join(lines)
    assert code == 1
    for expected in (
        "note   ts.properties: line 3: vmargs is not served and is ignored: there is no Java here",
        "note   ts.properties: line 4: there is no key 'job_queue_sise'; it is ignored. Did you mean job_queue_size?",
        "note   ts.properties: line 5: keystore is not served and is ignored: TLS reads PEM: openssl pkcs12",
        "fails  ts.properties: inference_address = http://0.0.0.0:8080: other machines get in",
        "note   ts.properties: allowed_urls is not set",
        "fails  private_key_file: https needs it, as PEM",
        "fails  load_models: there is no gone.mar in store",
        "fails  load_models: http://h/x.mar is a URL, and allowed_urls permits none",
        "works  good: can be unpacked",
    ):
        assert expected in told
    assert "only this machine" not in told


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("job_queue_size=x\n", "fails  c.properties: Invalid configuration: job_queue_size = 'x'"),
        ("model_store=gone\n", "fails  model_store: there is no folder gone here"),
        ("model_store=$$NO_SUCH$$\n", "fails  c.properties: Invalid Environment Variable NO_SUCH"),
        ("", "note   c.properties: there is no model_store"),
    ],
)
def test_what_stops_a_start_is_told(doctor, tmp_path, text, finding):
    (tmp_path / "c.properties").write_text(text)
    code, lines = doctor("c.properties")
    assert any(line.startswith(finding) for line in lines), lines
    assert code == finding.startswith("fails")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("enable_grpc=true\n", 'fails  enable_grpc: gRPC is an extra: pip install "numserve[grpc]"'),
        ("grpc_inference_port=7070\n", "note   grpc_inference_port: gRPC is an extra, and not served without it: pip"),
        ("enable_grpc_ssl=true\n", "fails  private_key_file: enable_grpc_ssl needs it, as PEM"),
    ],
)
def test_what_grpc_lacks_is_told(doctor, tmp_path, monkeypatch, text, finding):
    if "ssl" not in text:
        monkeypatch.setitem(sys.modules, "grpc", None)
    (tmp_path / "c.properties").write_text(text)
    assert any(line.startswith(finding) for line in doctor("c.properties")[1])


def test_the_file_that_is_given_counts_whatever_the_environment_names(doctor, tmp_path, monkeypatch):
    (tmp_path / "other.properties").write_text("job_queue_size=many\n")
    monkeypatch.setenv("TS_CONFIG_FILE", str(tmp_path / "other.properties"))
    (tmp_path / "mine.properties").write_text("model_store=store\n")
    code, lines = doctor(tmp_path / "mine.properties")
    assert code == 0
    assert not any("many" in line for line in lines)


def test_files_that_a_configuration_names_are_looked_at(doctor, tmp_path):
    (tmp_path / "metrics.yaml").write_text("model_metrics: {meter: []}")
    (tmp_path / "c.properties").write_text("model_store=store\nmetrics_config=metrics.yaml\nlog_config=log4j2.xml\n")
    code, lines = doctor(tmp_path / "c.properties")
    assert code == 1
    assert any(
        line.startswith("fails  configuration: metrics_config metrics.yaml: 'meter' is no type") for line in lines
    )
    assert any(line.startswith("note   log_config: log4j2 files are not read") for line in lines)
