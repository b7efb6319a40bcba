"""Contract: configuration, sections 1, 3 and 4: each key, flag and variable works, or is named once with a reason."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from numserve.server.cli import cli
from numserve.server.effective import as_text
from numserve.server.settings import Settings
from numserve.server.sources import IRREGULAR, NEVER_FROM_ENVIRONMENT, UNSERVED

DEFAULTS = {
    "inference_address": "http://127.0.0.1:8080",
    "management_address": "http://127.0.0.1:8081",
    "metrics_address": "http://127.0.0.1:8082",
    "grpc_inference_address": "127.0.0.1",
    "grpc_management_address": "127.0.0.1",
    "grpc_inference_port": "7070",
    "grpc_management_port": "7071",
    "grpc_inference_max_connection_age_ms": "",
    "grpc_management_max_connection_age_ms": "",
    "grpc_inference_max_connection_age_grace_ms": "",
    "grpc_management_max_connection_age_grace_ms": "",
    "enable_grpc_ssl": "false",
    "model_store": "",
    "workflow_store": "",
    "load_models": "",
    "models": "",
    "model_snapshot": "",
    "default_workers_per_model": "0",
    "default_response_timeout": "120",
    "default_startup_timeout": "120",
    "unregister_model_timeout": "120",
    "job_queue_size": "100",
    "number_of_netty_threads": "0",
    "netty_client_threads": "0",
    "number_of_gpu": None,
    "async_logging": "false",
    "decode_input_request": "true",
    "max_request_size": "6553500",
    "max_response_size": "6553500",
    "limit_max_image_pixels": "true",
    "default_service_handler": "",
    "service_envelope": "",
    "install_py_dep_per_model": "false",
    "enable_metrics_api": "true",
    "metrics_config": None,
    "metrics_mode": "log",
    "model_metrics_auto_detect": "false",
    "disable_system_metrics": "false",
    "system_metrics_cmd": "",
    "metric_time_interval": "60",
    "allowed_urls": "file://.*|http(s)?://.*",
    "use_env_allowed_urls": "false",
    "blacklist_env_vars": "",
    "enable_envvars_config": "false",
    "disable_token_authorization": "false",
    "token_expiration_min": "60",
    "enable_model_api": "false",
    "ts_open_inference_protocol": "false",
    "ts_header_key_sequence_id": "ts_request_sequence_id",
    "ts_header_key_sequence_start": "ts_request_sequence_start",
    "ts_header_key_sequence_end": "ts_request_sequence_end",
    "cors_allowed_origin": "",
    "cors_allowed_methods": "",
    "cors_allowed_headers": "",
    "keystore": "",
    "keystore_pass": "changeit",
    "keystore_type": "PKCS12",
    "private_key_file": "",
    "certificate_file": "",
    "initial_worker_port": "9000",
    "initial_distribution_port": "29500",
    "prefer_direct_buffer": None,
    "use_native_io": "true",
    "io_ratio": "50",
    "cpu_launcher_enable": "false",
    "cpu_launcher_args": "",
    "ipex_enable": "false",
    "ipex_gpu_enable": "false",
    "cpp_log_config": "",
    "plugins_path": "",
    "vmargs": "",
    "debug": "false",
    "model_server_home": None,
    "metrics_format": None,
}
"""Each key that TorchServe reads, with its default there; None where that depends on the machine."""

OTHERWISE = {
    "metrics_mode": "the default of `metrics_mode`",
    "model_metrics_auto_detect": "undeclared metrics of a handler",
    "allowed_urls": "| `allowed_urls` | everything",
    "disable_token_authorization": "| tokens | on by default",
    "ts_open_inference_protocol": "| `/v2`, `/v2/health/…`",
}
"""Keys whose default is another one, with the row of docs/compatibility.md that says why."""


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    monkeypatch.delenv("TS_CONFIG_FILE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("key", DEFAULTS)
def test_a_key_works_or_is_named_once_with_a_reason(tmp_path, key):
    (tmp_path / "c").write_text(f"{key}={DEFAULTS[key] or ''}\n")
    if key in UNSERVED:
        [warning] = Settings.load(ts_config=tmp_path / "c").warnings
        assert warning == f"{tmp_path}/c line 1: {key} is not served and is ignored: {UNSERVED[key]}"
        assert len(UNSERVED[key]) > 10
    else:
        assert key in Settings.known_keys()


@pytest.mark.parametrize("key", [key for key in DEFAULTS if key not in UNSERVED and DEFAULTS[key] is not None])
def test_a_served_key_has_torchserves_default_or_says_why_not(key, deviates):
    default = as_text(getattr(Settings.load(), key))
    if key in OTHERWISE:
        assert default != DEFAULTS[key]
        deviates(OTHERWISE[key])
    else:
        assert default == DEFAULTS[key]


def test_nothing_is_named_that_torchserve_does_not_know():
    assert set(UNSERVED) <= set(DEFAULTS)


@pytest.mark.parametrize("key", [key for key in DEFAULTS if key not in UNSERVED])
def test_a_served_key_has_its_variable_as_torchserve_has(key):
    without = {
        "metric_time_interval", "enable_envvars_config", "model_snapshot", "models", "use_env_allowed_urls",
    }  # fmt: skip
    assert (key in NEVER_FROM_ENVIRONMENT) == (key in without)
    assert IRREGULAR.get(key) == {"token_expiration_min": "TS_TOKEN_EXPIRATION_TIME_MIN"}.get(key)


FLAGS = (
    "--start", "--stop", "--version", "-v", "--ts-config", "--model-store", "--workflow-store", "--models",
    "--log-config", "--cpp-log-config", "--foreground", "--no-config-snapshots", "--ncs", "--plugins-path", "--ppath",
    "--disable-token-auth", "--dt", "--enable-model-api",
)  # fmt: skip


def test_each_flag_of_torchserve_is_taken():
    known = {name for option in cli.params for name in option.opts}
    assert known.issuperset(FLAGS)


@pytest.mark.parametrize("flag", ["--cpp-log-config", "--log-config"])
def test_a_flag_that_does_nothing_says_so(tmp_path, flag):
    (tmp_path / "log4j2.xml").write_text("<Configuration/>")
    done = CliRunner().invoke(cli, ["--start", flag, "log4j2.xml"])
    assert f"{flag} is ignored: " in done.output
