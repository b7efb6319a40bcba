"""Tokens: TorchServe's key file, and static ones with scopes (contract: management API, section 9)."""

import json
import os

import pytest
from numserve.server import client

SCOPES = {"predict": "predicts", "manage": "manages", "metrics": "scrapes"}
REFUSED = "Token Authorization failed. Token either incorrect, expired, or not provided correctly"


def test_the_key_file_has_torchserves_form_and_only_its_owner_reads_it(keyed):
    path = keyed.server.folder / "key_file.json"
    told = json.loads(path.read_text())

    assert path.stat().st_mode & 0o777 == 0o600
    assert list(told) == ["management", "inference", "API"]
    assert set(told["management"]) == set(told["inference"]) == {"key", "expiration time"}
    assert told["management"]["expiration time"].endswith("Z")
    assert set(told["API"]) == {"key"}


@pytest.mark.parametrize(
    ("listener", "path", "key", "status"),
    [
        ("management", "/models", "management", 200),
        ("management", "/models", "inference", 403),
        ("management", "/models", "API", 401),
        ("management", "/models", None, 401),
        ("management", "/models/x?u=/token", "API", 401),
        ("management", "/docs", None, 401),
        ("management", "//models", "inference", 403),
        ("management", "/models/", "inference", 403),
        ("management", "/%6dodels", "inference", 403),
        ("management", "/v1/models/none", "inference", 403),
        ("inference", "/predictions/none", "inference", 404),
        ("inference", "/predictions/none", "management", 403),
        ("inference", "/predictions/none", None, 401),
        ("inference", "/v2/health/ready", None, 400),
        ("inference", "/v2/models/none/ready", None, 401),
        ("inference", "/ping", None, 200),
        ("inference", "/v2/health/live", None, 200),
        ("inference", "/api-description", None, 200),
        ("management", "/api-description", None, 200),
        ("metrics", "/metrics", None, 200),
    ],
)
def test_a_key_opens_its_listener(keyed, listener, path, key, status):
    assert keyed.ask(listener, path, key and keyed.key(key)).status == status


def test_a_refusal_names_torchserves_error_and_the_scheme(keyed, deviates):
    deviates("`InvalidKeyException`")
    answer = keyed.ask("management", "/models")

    assert answer.error == (401, "InvalidKeyException", REFUSED)
    assert answer["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("told", ["bearer {}", "Basic {}", "{}", "Bearer", "Bearer {} x", "Bearer {}x", "Token {}"])
def test_what_is_no_bearer_header_opens_nothing(keyed, told):
    header = told.format(keyed.key("management"))
    assert keyed.ask("management", "/models", Authorization=header).status == 401


def test_blanks_between_scheme_and_key_do_not_matter(keyed):
    assert keyed.ask("management", "/models", Authorization=f"Bearer  \t {keyed.key('management')}").status == 200


def test_a_browsers_question_before_a_request_needs_no_token(keyed):
    asked = {"Origin": "http://x", "Access-Control-Request-Method": "POST"}
    assert keyed.ask("inference", "/predictions/none", method="OPTIONS", **asked).status == 204
    assert keyed.ask("inference", "/predictions/none", method="OPTIONS").status == 401


@pytest.mark.parametrize("kind", ["management", "inference"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_api_key_renews_another(keyed, kind, method):
    before = keyed.key(kind)
    answer = keyed.ask("management", f"/token?type={kind}", keyed.key("API"), method)

    assert (answer.status, answer.body, answer["content-type"]) == (200, b"\n", "application/json")
    assert keyed.key(kind) != before
    path = {"management": "/models", "inference": "/v2"}[kind]
    assert keyed.ask(kind, path, before).status == 401
    assert keyed.ask(kind, path, keyed.key(kind)).status == 200


@pytest.mark.parametrize("key", ["management", "inference"])
def test_no_other_key_renews(keyed, key):
    answer = keyed.ask("management", "/token?type=management", keyed.key(key))
    assert answer.error == (401, "InvalidKeyException", REFUSED.replace("Authorization", "Authentication"))


@pytest.mark.parametrize("query", ["", "?type=API", "?type=x"])
def test_only_keys_that_expire_are_renewed(keyed, query):
    assert keyed.ask("management", f"/token{query}", keyed.key("API")).status == 400


def test_editing_the_file_changes_nothing(keyed):
    path = keyed.server.folder / "key_file.json"
    told = path.read_text()
    key = keyed.key("management")
    try:
        path.write_text(told.replace(key, "mine"))
        assert keyed.ask("management", "/models", "mine").status == 401
        assert keyed.ask("management", "/models", key).status == 200
    finally:
        path.write_text(told)


def test_the_command_line_shows_the_key_of_its_own_server(keyed):
    assert keyed.server.run("numserve", "models").returncode == 0
    assert keyed.server.run("numserve", "status").stdout.startswith("running, pid ")


def test_keys_expire_and_leave_with_the_server(server):
    with server.config.open("a") as file:
        file.write("disable_token_authorization=false\ntoken_expiration_min=0.0001\n")
    server.start()
    try:
        assert server.call("management", "/models")[0] == 401
        refused = server.run("numserve", "models")
        assert (refused.returncode, refused.stderr) == (1, REFUSED + "\n")
    finally:
        server.run("numserve", "--stop")
    assert not (server.folder / "key_file.json").exists()


@pytest.mark.parametrize(
    ("listener", "path", "who", "status"),
    [
        ("inference", "/v2", "predicts", 200),
        ("inference", "/v2", "manages", 403),
        ("inference", "/v2", "scrapes", 403),
        ("inference", "/v2", "everything", 200),
        ("inference", "/predictions/tell", "one model", 404),
        ("inference", "/v2/models/tell", "one model", 404),
        ("inference", "/predictions/else", "one model", 403),
        ("inference", "/invocations", "one model", 403),
        ("management", "/models", "manages", 200),
        ("management", "/models", "predicts", 403),
        ("management", "/models", "one model", 403),
        ("management", "/token?type=management", "everything", 404),
        ("metrics", "/metrics", "scrapes", 200),
        ("metrics", "/metrics", "predicts", 403),
        ("metrics", "/metrics", None, 401),
    ],
)
def test_a_static_token_opens_its_scopes(scoped, tokens, listener, path, who, status):
    assert scoped.ask(listener, path, who and tokens[who]).status == status


def test_the_command_line_takes_a_token_from_the_environment(scoped, tokens, monkeypatch):
    assert scoped.server.run("numserve", "models").returncode == 1
    monkeypatch.setenv("NUMSERVE_TOKEN", tokens["manages"])
    assert scoped.server.run("numserve", "models").returncode == 0


def test_tokens_of_the_environment_reach_no_worker(server, monkeypatch, tmp_path):
    secret = "predict,manage a-token-of-the-environment"
    monkeypatch.setenv("NUMSERVE_TOKENS", secret)
    monkeypatch.setenv("NUMSERVE_TOKEN", secret.split()[1])
    (tmp_path / "shows.py").write_text(
        "import os\ndef handle(data, context):\n    return [str('NUMSERVE_TOKENS' in os.environ)] * len(data or [])\n"
    )
    server.archive("shows", "--handler", tmp_path / "shows.py")
    server.start("shows.mar")
    assert server.call("inference", "/predictions/shows")[0] == 401
    (tmp_path / "x").write_text("x")
    assert server.run("numserve", "predict", "shows", "x").stdout == "False\n"


def test_nobody_is_open_to_other_machines_by_accident(server):
    with server.config.open("a") as file:
        file.write("metrics_address=http://0.0.0.0:0\n")
    done = server.run("numserve", "--start", "--ncs", "--model-store", ".", "--ts-config", str(server.config))
    assert done.returncode == 1
    assert "metrics_address = http://0.0.0.0:0: other machines get in" in done.stdout


def test_a_key_file_that_is_a_link_is_replaced_not_followed(server):
    target = server.folder / "precious"
    target.write_text("mine")
    os.symlink(target, server.folder / "key_file.json")
    with server.config.open("a") as file:
        file.write("disable_token_authorization=false\n")
    server.start()
    assert target.read_text() == "mine"
    assert server.run("numserve", "models").returncode == 0


def test_who_is_turned_away_is_counted(keyed):
    keyed.ask("management", "/models", "wrong")
    told = keyed.ask("metrics", "/metrics").body.decode()
    assert 'numserve_requests_rejected_total{model_name="_unknown",reason="unauthorized"} ' in told


def test_the_description_is_valid_and_names_the_renewal_of_keys(keyed, scoped):
    validator = pytest.importorskip("openapi_spec_validator")
    document = keyed.ask("management", "/", method="OPTIONS").json()
    validator.validate(document)
    assert document["paths"]["/token"]["post"]["operationId"] == "renewKey"
    assert "/token" not in scoped.ask("management", "/api-description").json()["paths"]


def test_a_body_is_not_read_before_the_token_is_known(keyed):
    head = b"POST /predictions/none HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    assert keyed.contract.raw(head).startswith(b"HTTP/1.1 401 ")


def test_one_listener_for_all_asks_each_for_its_own_token(server, tokens):
    (server.folder / "tokens").write_text("\n".join(f"{scope} {tokens[who]}" for scope, who in SCOPES.items()))
    place = f"unix:{server.folder}/all.sock"
    faces = "".join(f"{face}_address={place}\n" for face in ("inference", "management", "metrics"))
    server.config.write_text(f"{faces}token_file=tokens\ndisable_token_authorization=false\n")
    server.start()
    api = json.loads((server.folder / "key_file.json").read_text())["API"]["key"]
    opens = {"/v2": "predicts", "/models": "manages", "/metrics": "scrapes", "/models/x/1.0": "manages"}
    for path, right in opens.items():
        for who in SCOPES.values():
            status, _ = client.ask(client.Place(place, tokens[who]), "GET", path)
            assert (status == 403) is (who != right), (path, who, status)
        assert client.ask(place, "GET", path)[0] == 401
    assert client.ask(client.Place(place, api), "POST", "/token?type=management") == (200, b"\n")
    assert client.ask(client.Place(place, tokens["manages"]), "POST", "/token?type=management")[0] == 401
