"""Tokens by gRPC: the same that HTTP asks for, in the metadata (contract: gRPC, section 1)."""

import pytest

NO_TOKEN = "Token Authorization failed. Token either incorrect, expired, or not provided correctly"


@pytest.fixture
def door(guarded, tokens):
    """The services with the token of a holder, or with none."""
    guarded.token = tokens["manages"]
    if not guarded.contract._served:
        guarded.manage("RegisterModel", url=packed(guarded), initial_workers=1, synchronous=True)

    def hold(holder=None):
        guarded.token = tokens.get(holder, holder)
        return guarded

    return hold


def packed(guarded):
    url = guarded.contract._pack("tell", "1.0", "tell", None, None, {})
    guarded.contract._served["tell-1.0"] = {}
    return url


@pytest.mark.parametrize("holder", [None, "wrong-0123456789abcdef"])
def test_without_a_token_there_is_no_entry(door, refused, deviates, holder):
    deviates("no or wrong token | PERMISSION_DENIED")
    with refused("UNAUTHENTICATED", NO_TOKEN):
        door(holder).predict("tell")
    with refused("UNAUTHENTICATED", NO_TOKEN):
        door(holder).manage("ListModels")


def test_a_token_opens_its_own_port(door, refused):
    assert door("predicts").predict("tell")
    assert '"tell"' in door("manages").manage("ListModels")
    with refused("PERMISSION_DENIED", "The token does not have the scope manage."):
        door("predicts").manage("ListModels")
    with refused("PERMISSION_DENIED", "The token does not have the scope predict."):
        door("manages").predict("tell")


def test_a_token_may_be_for_one_model(door, refused):
    assert door("one model").predict("tell")
    with refused("PERMISSION_DENIED", "The token is not for this model."):
        door("one model").predict("other")


def test_each_request_of_a_stream_is_looked_at(door, refused):
    served = door("one model")
    asked = [served.request("tell", sequence="s"), served.request("other", sequence="s")]
    answers = served.inference.StreamPredictions2(iter(asked), metadata=served.metadata)
    assert next(answers).prediction
    with refused("PERMISSION_DENIED", "The token is not for this model."):
        next(answers)


def test_probes_need_none(door, deviates, generated):
    deviates("`Ping`, `ServerLive`, health, reflection")
    channel = door().channels["inference"]
    for path in (
        "org.pytorch.serve.grpc.inference.InferenceAPIsService/Ping",
        "inference.GRPCInferenceService/ServerLive",
        "grpc.health.v1.Health/Check",
    ):
        assert channel.unary_unary(f"/{path}")(b"", timeout=60)
    reflection = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    assert len(list(reflection(iter([b"\x3a\x00"]), timeout=60))) == 1


@pytest.mark.parametrize("call", ["ServerReady", "ModelReady", "ModelMetadata", "ServerMetadata", "ModelInfer"])
def test_all_else_of_the_open_inference_protocol_does(door, refused, call):
    with refused("UNAUTHENTICATED", NO_TOKEN):
        door().channels["inference"].unary_unary(f"/inference.GRPCInferenceService/{call}")(b"", timeout=60)


def test_who_is_turned_away_is_counted(door, refused, tokens):
    with refused("UNAUTHENTICATED"):
        door().predict("tell")
    headers = {"Authorization": f"Bearer {tokens['scrapes']}"}
    text = door().contract.request("GET", "/metrics", headers=headers, listener="metrics").body.decode()
    assert 'numserve_requests_rejected_total{model_name="_unknown",reason="unauthorized"}' in text
