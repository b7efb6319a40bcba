"""Settings: every key, its sources and their order, and what the file holds in vain."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numserve.server.batching.size import MOST
from numserve.server.http.address import Address
from numserve.server.model_config import MILLISECONDS
from numserve.server.properties import InvalidConfiguration, parse
from numserve.server.settings import ModelConfig, Settings
from numserve.server.sources import IRREGULAR, NEVER_FROM_ENVIRONMENT, UNSERVED


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    """No TS_ variables, no config.properties where we stand."""
    for name in ("TS_CONFIG_FILE", "TS_JOB_QUEUE_SIZE", "TS_ALLOWED_URLS", "LOG_LOCATION", "TEMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "c.properties"
        path.write_text(text)
        return path

    return write


SAMPLES = {
    "inference_address": ("http://0.0.0.0:9", Address("0.0.0.0", 9)),
    "management_address": ("unix:/tmp/x", Address("", 0, "/tmp/x")),
    "metrics_address": ("http://[::1]", Address("::1", 8082)),
    "enable_grpc": ("false", False),
    "grpc_inference_address": ("::1", "::1"),
    "grpc_management_address": ("0.0.0.0", "0.0.0.0"),
    "grpc_inference_port": ("0", 0),
    "grpc_management_port": ("9", 9),
    "grpc_inference_max_connection_age_ms": ("3", 3),
    "grpc_management_max_connection_age_ms": ("3", 3),
    "grpc_inference_max_connection_age_grace_ms": ("3", 3),
    "grpc_management_max_connection_age_grace_ms": ("3", 3),
    "enable_grpc_ssl": ("true", True),
    "model_store": ("/m", "/m"),
    "workflow_store": ("/w", Path("/w")),
    "load_models": ("a.mar, b=c.mar", ("a.mar", "b=c.mar")),
    "load_parallelism": ("3", 3),
    "load_memory": ("3", 3),
    "models": (
        '{"m": {"1.0": {"batchSize": 4}}}',
        {"m": {"1.0": ModelConfig(batch_size=4, document={"batchSize": 4})}},
    ),
    "model_snapshot": ('{"models": {"m": {"1.0": {"marName": "m.mar"}}}}', {"m": {"1.0": {"marName": "m.mar"}}}),
    "default_workers_per_model": ("3", 3),
    "autoscaling": ("false", False),
    "default_response_timeout": ("3", 3),
    "default_startup_timeout": ("3", 3),
    "ready_without_models": ("true", True),
    "drain_delay": ("2", 2),
    "drain_timeout": ("3", 3),
    "unregister_model_timeout": ("3", 3),
    "job_queue_size": ("3", 3),
    "fixed_delay": ("true", True),
    "overload_status": ("429", 429),
    "number_of_gpu": ("1", 1),
    "decode_input_request": ("false", False),
    "max_request_size": ("3", 3),
    "max_response_size": ("3", 3),
    "max_connections": ("3", 3),
    "max_connections_per_peer": ("3", 3),
    "min_transfer_rate": ("3", 3),
    "max_unfinished_size": ("3", 3),
    "max_unread_size": ("3", 3),
    "limit_max_image_pixels": ("FALSE", False),
    "default_service_handler": ("h.py", "h.py"),
    "service_envelope": ("kserve", "kserve"),
    "ts_open_inference_protocol": ("false", False),
    "enable_metrics_api": ("no", False),
    "metrics_mode": (" Log ", "log"),
    "metrics_config": ("/metrics.yaml", "/metrics.yaml"),
    "model_metrics_auto_detect": ("true", True),
    "metric_time_interval": ("1.5", 1.5),
    "disable_system_metrics": ("true", True),
    "allowed_urls": ("https://a/.*,file://.*", ("https://a/.*", "file://.*")),
    "use_env_allowed_urls": ("true", True),
    "blacklist_env_vars": ("AWS.*", "AWS.*"),
    "enable_envvars_config": ("true", True),
    "enable_model_api": ("True", True),
    "disable_token_authorization": ("true", True),
    "token_expiration_min": ("0.5", 0.5),
    "token_file": ("/tokens", "/tokens"),
    "private_key_file": ("/key.pem", "/key.pem"),
    "certificate_file": ("/chain.pem", "/chain.pem"),
    "ts_header_key_sequence_id": ("X-Sequence", "X-Sequence"),
    "ts_header_key_sequence_start": ("X-Start", "X-Start"),
    "ts_header_key_sequence_end": ("X-End", "X-End"),
    "cors_allowed_origin": ("*", "*"),
    "cors_allowed_methods": ("GET", "GET"),
    "cors_allowed_headers": ("x", "x"),
    "worker_backend": ("inline", "inline"),
    "worker_heartbeat": ("2", 2),
    "install_py_dep_per_model": ("true", True),
    "require_package_hashes": ("true", True),
    "model_environments": ("/e", Path("/e")),
    "model_environment_timeout": ("9.5", 9.5),
    "log_format": ("json", "json"),
    "log_level": ("DEBUG", "DEBUG"),
    "log_config": ("/log.yaml", "/log.yaml"),
    "log_location": ("/l", "/l"),
    "metrics_location": ("/m", "/m"),
}


def test_every_key_has_a_sample():
    assert SAMPLES.keys() == set(Settings.known_keys())


@pytest.mark.parametrize("key", SAMPLES)
def test_a_key_is_read_from_the_file(config, key):
    text, value = SAMPLES[key]
    found = getattr(Settings.load(ts_config=config(f"{key}={text}\n")), key)
    assert found == value or str(found) == value


@pytest.mark.parametrize("key", sorted(SAMPLES.keys() - NEVER_FROM_ENVIRONMENT - {"allowed_urls"}))
def test_an_enabled_variable_beats_file_and_flag(config, monkeypatch, key):
    text, value = SAMPLES[key]
    monkeypatch.setenv(IRREGULAR.get(key, f"TS_{key.upper()}"), text)
    file = config("enable_envvars_config=true\n")
    found = getattr(Settings.load(ts_config=file, model_store="/other"), key)
    assert found == value or str(found) == value


def test_what_was_changed_is_told(config):
    assert Settings.load(ts_config=config("job_queue_size=7\nenable_model_api=false\n")).changed() == {
        "job_queue_size": 7
    }


def test_the_locations_need_not_be_enabled(monkeypatch):
    monkeypatch.setenv("LOG_LOCATION", "/l")
    monkeypatch.setenv("TEMP", "/t")
    settings = Settings.load()
    assert (str(settings.log_location), str(settings.temp_dir)) == ("/l", "/t")


def test_a_variable_that_is_not_enabled_does_not_count(config, monkeypatch):
    monkeypatch.setenv("TS_JOB_QUEUE_SIZE", "7")
    assert Settings.load(ts_config=config("job_queue_size=5\n")).job_queue_size == 5


def test_the_command_line_beats_the_file(config):
    assert str(Settings.load(ts_config=config("model_store=/a\n"), model_store="/b").model_store) == "/b"


def test_allowed_urls_come_from_the_environment_only_when_the_file_says_so(config, monkeypatch):
    monkeypatch.setenv("TS_ALLOWED_URLS", "https://b/.*")
    assert Settings.load(ts_config=config("enable_envvars_config=true\n")).allowed_urls == ()
    assert Settings.load(ts_config=config("use_env_allowed_urls=true\n")).allowed_urls == ("https://b/.*",)


def test_ts_config_file_beats_the_flag(config, monkeypatch, tmp_path):
    other = tmp_path / "other"
    other.write_text("job_queue_size=8\n")
    monkeypatch.setenv("TS_CONFIG_FILE", str(other))
    assert Settings.load(ts_config=config("job_queue_size=5\n")).job_queue_size == 8


def test_a_local_config_properties_is_found(tmp_path):
    (tmp_path / "config.properties").write_text("job_queue_size=6\n")
    assert Settings.load().job_queue_size == 6


def test_a_config_file_that_is_not_there_is_named():
    with pytest.raises(InvalidConfiguration, match="--ts-config file not found: /nowhere"):
        Settings.load(ts_config="/nowhere")


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_known_one(config):
    (warning,) = Settings.load(ts_config=config("# first\nload_modls=all\n")).warnings
    assert "line 2" in warning
    assert "'load_modls'" in warning
    assert "Did you mean load_models?" in warning


@pytest.mark.parametrize("key", UNSERVED)
def test_a_key_of_torchserve_that_is_not_served_says_why(config, key):
    (warning,) = Settings.load(ts_config=config(f"{key}=1\n")).warnings
    assert f"{key} is not served and is ignored: {UNSERVED[key]}" in warning


def test_no_key_is_served_and_unserved():
    assert not UNSERVED.keys() & set(Settings.known_keys())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("job_queue_size=many", "job_queue_size = 'many' .*line 1.*: Input should be a valid integer"),
        ("inference_address=ftp://h", "expected http://host:port, https://host:port or unix:/path"),
        ("inference_address=8080", "expected http://host:port, https://host:port or unix:/path"),
        ("allowed_urls=(", "is no regular expression"),
        ("blacklist_env_vars=(", "is no regular expression"),
        ("models=[1]", "expected JSON such as"),
        ("service_envelope=soap", "'kservev2'"),
        ("default_response_timeout=1e99", "default_response_timeout = '1e99' .*: Input should be less than 2147483648"),
        ("default_startup_timeout=inf", "Input should be less than 2147483648"),
        ("metrics_mode=statsd", "metrics_mode = 'statsd' .*line 1.*'prometheus', 'log' or 'legacy'"),
        ("model_store=$$NO_SUCH_VARIABLE$$", r"Variable NO_SUCH_VARIABLE \(.*c.properties line 1: it is not set"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(config, line, says):
    with pytest.raises(InvalidConfiguration, match=says):
        Settings.load(ts_config=config(line + "\n"))


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("a=1\nb: 2\nc 3\n", [("a", "1", 1), ("b", "2", 2), ("c", "3", 3)]),
        ("# no\n! no\n\n  a = 1 \n", [("a", "1 ", 4)]),
        ("a=1,\\\n   2\nb=3", [("a", "1,2", 1), ("b", "3", 3)]),
        ("a\\:b=\\u0041\\t\\\\", [("a:b", "A\t\\", 1)]),
        ("a=x=y", [("a", "x=y", 1)]),
        ("a=ends\\\\\nb=1", [("a", "ends\\", 1), ("b", "1", 2)]),
        ("a=$$HOME_DIR$$/store", [("a", "/home/store", 1)]),
        ("a", [("a", "", 1)]),
        ("a=\\", [("a", "", 1)]),
        ("a=1\r\nb=2", [("a", "1", 1), ("b", "2", 2)]),
    ],
)
def test_properties_are_read_as_java_reads_them(text, entries):
    assert [(e.key, e.value, e.line) for e in parse(text, {"HOME_DIR": "/home"})] == entries


def read(tmp_path, text):
    path = tmp_path / "model.yaml"
    path.write_text(text)
    return ModelConfig.read(path)


def test_a_model_yaml_is_read_into_seconds(tmp_path):
    config = read(
        tmp_path, "minWorkers: 2\nmaxBatchDelay: 250\nclientTimeoutInMills: 1500\nresponseTimeout: 7\nmine: [1]\n"
    )
    assert (config.min_workers, config.max_batch_delay, config.client_timeout, config.response_timeout) == (
        2,
        0.25,
        1.5,
        7,
    )
    assert config.document["mine"] == [1]
    assert config.model_fields_set == {
        "min_workers",
        "max_batch_delay",
        "client_timeout",
        "response_timeout",
        "document",
    }


@pytest.mark.parametrize(
    ("text", "workers", "threads"),
    [
        ("", 0, 8),
        ("", 2, 4),
        ("", 3, 2),
        ("", 99, 1),
        ("engine: {threads: 3}", 4, 3),
        ("engine: {threads: two}", 4, 2),
        ("engine: mine", 4, 2),
    ],
)
def test_a_worker_has_the_threads_its_model_asks_for_or_its_share(tmp_path, text, workers, threads):
    config = read(tmp_path, text).model_copy(update={"min_workers": workers})
    assert config.threads(cores=8) == threads


def test_the_handler_sees_the_engine_options_that_count(tmp_path):
    archived, listed = read(tmp_path, "mine: 1\n"), ModelConfig(engine={"exact": True})
    merged = archived.over(listed).model_copy(update={"document": archived.document})
    assert merged.for_handler == {"mine": 1, "engine": {"exact": True}}
    assert archived.for_handler == {"mine": 1}


@pytest.mark.parametrize(
    "text",
    [
        "batchSize: 2147483648",
        "maxBatchDelay: 1.0e+99",
        'batchSize: "4"',
        "engine: fast",
        "batchSize: true",
        "responseTimeout: 0",
        "maxWorkers: -1",
        "deviceType: gpu",
    ],
)
def test_a_wrong_value_is_ignored_and_named_with_its_line(tmp_path, caplog, text):
    config = read(tmp_path, f"minWorkers: 1\n{text}\n")
    assert config.model_fields_set == {"min_workers", "document"}
    assert f"model.yaml line 2: {text.split(':')[0]}: " in caplog.text


def test_what_is_left_to_the_handler_and_almost_a_key_is_named(tmp_path, caplog):
    read(tmp_path, "batch_size: 4\nmaxWorker: 2\nmax_length: 3\n")
    assert [record.getMessage() for record in caplog.records] == [
        "model.yaml line 1: batch_size is left to the handler. Did you mean batchSize?",
        "model.yaml line 2: maxWorker is left to the handler. Did you mean maxWorkers?",
    ]


def test_no_delay_can_be_meant(tmp_path):
    config = read(tmp_path, "maxBatchDelay: 0\n")
    assert (config.max_batch_delay, config.model_fields_set) == (0, {"max_batch_delay", "document"})


def test_zero_workers_and_batches_become_one(tmp_path):
    config = read(tmp_path, "minWorkers: 0\nbatchSize: -3\n")
    assert (config.min_workers, config.batch_size) == (1, 1)


def test_a_key_that_only_torchserve_serves_is_named(tmp_path, caplog):
    read(tmp_path, "deviceIds: [0]\n")
    assert "deviceIds is not served and is ignored: models run on the CPU" in caplog.text


def test_handler_sections_are_nobodys_business(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    assert read(tmp_path, "handler:\n  profile: true\n").document == {"handler": {"profile": True}}
    assert not caplog.text


BOMB = "a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1\nb: 2", "line 2.*while parsing a flow sequence, begun in line 1"),
        ("- 1", "expected a mapping"),
        ("a: !!python/object/apply:os.getcwd []", "line 1: could not determine a constructor"),
        (BOMB, "too large"),
        ("a: &a [*a]", "too large"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("#" * (1 << 21), "may have"),
        ("? [1]\n: 2", "line 1"),
        ("a: !!bool x", "no readable YAML"),
        ("a: !!int ''", "no readable YAML"),
        ("a: !!timestamp x", "no readable YAML"),
        ("a: 2001-13-45", "no readable YAML"),
    ],
)
def test_a_yaml_that_must_not_be_used_says_why(tmp_path, text, says):
    with pytest.raises(ValueError, match=says):
        read(tmp_path, text)


@given(st.text(st.sampled_from("ab:-?[]{}&*!|>'\"# \n\t1.<~%@,"), max_size=60))
def test_any_yaml_is_read_or_refused(tmp_path_factory, text):
    with contextlib.suppress(ValueError):
        read(tmp_path_factory.getbasetemp(), text)


@given(st.text(st.sampled_from("ab:= \t\n\r\\#!u0$"), max_size=60))
def test_any_properties_are_read_or_refused(text):
    with contextlib.suppress(InvalidConfiguration):
        assert all(entry.line <= text.count("\n") + text.count("\r") + 1 for entry in parse(text, {}))


def test_layers_of_a_model_configuration_keep_what_was_set():
    asked, archive = ModelConfig(batch_size=2), ModelConfig(batch_size=8, min_workers=3)
    merged = asked.over(archive, ModelConfig(min_workers=9, job_queue_size=5))
    assert (merged.batch_size, merged.min_workers, merged.job_queue_size, merged.response_timeout) == (2, 3, 5, 120)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("http://127.0.0.1:1", True),
        ("https://h:443", False),
        ("http://[::1]:1", True),
        ("http://0.0.0.0:1", False),
        ("unix:/s", True),
    ],
)
def test_an_address_is_written_as_it_is_read(text, loopback):
    address = Address.parse(text)
    assert (str(address), address.loopback) == (text, loopback)


DOCS = Path(__file__).parents[2] / "docs"


def row(key, field, milliseconds=False):
    default = field.default if field.default_factory is None else "the system's"
    if isinstance(default, bool):
        default = str(default).lower()
    elif default in (None, (), {}):
        default = "none"
    text = field.description
    if milliseconds:
        default, text = round(default * 1000), text.replace("seconds", "milliseconds")
    return f"| `{key}` | {default} | {text} |"


def test_the_docs_have_a_row_for_every_key():
    rows = [row(key, Settings.model_fields[key]) for key in Settings.known_keys()]
    assert "\n".join(rows) in (DOCS / "configuration.md").read_text()


def test_the_docs_have_a_row_for_every_key_of_a_model():
    fields = [field for name, field in ModelConfig.model_fields.items() if name != "document"]
    rows = [row(field.alias, field, field.alias in MILLISECONDS) for field in fields]
    assert "\n".join(rows) in (DOCS / "configuration.md").read_text()


@pytest.mark.parametrize(
    ("variable", "on"), [("oip", True), ("OIP", True), ("else", False), ("", False), (None, False)]
)
def test_a_variable_of_its_own_switches_the_open_inference_protocol(config, monkeypatch, variable, on):
    if variable is not None:
        monkeypatch.setenv("TS_OPEN_INFERENCE_PROTOCOL", variable)
    assert Settings.load(ts_config=config("ts_open_inference_protocol=false\n")).ts_open_inference_protocol is on


def test_environments_lie_in_the_users_cache_unless_told(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert Settings.load().environments == Path("/home/somebody/.cache/numserve/environments")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert Settings.load().environments == Path("/cache/numserve/environments")
    assert Settings.load(model_environments=Path("/told")).environments == Path("/told")
    monkeypatch.setenv("XDG_CACHE_HOME", "no/path")
    monkeypatch.setenv("TEMP", str(tmp_path))
    monkeypatch.setattr("os.getuid", lambda: 7)
    assert Settings.load(temp_dir=tmp_path).environments == tmp_path / "numserve-cache-7" / "numserve" / "environments"


ADAPTIVE = {
    "": True,
    "batchSize: 1": False,
    "maxBatchDelay: 5": False,
    "batching: adaptive\nbatchSize: 8": True,
    "batching: fixed": False,
    "continuousBatching: true": False,
    "sequenceBatching: true\nsequenceMaxIdleMSec: 5": False,
}


@pytest.mark.parametrize("text", ADAPTIVE)
def test_batches_are_adaptive_where_the_yaml_says_so_or_nothing(tmp_path, text):
    assert read(tmp_path, f"minWorkers: 1\n{text}\n").adaptive is ADAPTIVE[text]


@pytest.mark.parametrize(
    ("text", "rows"),
    [("", 1), ("batchSize: 8", 8), ("batching: adaptive", MOST), ("batching: adaptive\nbatchSize: 8", 8)],
)
def test_a_handler_is_told_how_many_rows_it_may_get(tmp_path, text, rows):
    assert read(tmp_path, f"minWorkers: 1\n{text}\n").most_rows == rows


@pytest.mark.parametrize("batching", [{}, {"batching": "adaptive"}])
def test_a_snapshot_of_adaptive_batches_restores_adaptive_batches(batching):
    restored = ModelConfig.from_snapshot({"minWorkers": 2, "batchSize": 1, "maxBatchDelay": 100} | batching)
    assert restored.adaptive is bool(batching) and restored.min_workers == 2
