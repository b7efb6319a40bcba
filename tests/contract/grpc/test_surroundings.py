"""What is the same for all services: health, reflection, the access log, the metrics, and how the server ends."""

import json
import os
import queue
import re
import signal

import grpc
import pytest

health_pb2 = pytest.importorskip("grpc_health.v1.health_pb2")
health_grpc = pytest.importorskip("grpc_health.v1.health_pb2_grpc")
database = pytest.importorskip("grpc_reflection.v1alpha.proto_reflection_descriptor_database")
reflection_pb2 = pytest.importorskip("grpc_reflection.v1alpha.reflection_pb2")

TORCHSERVE = "org.pytorch.serve.grpc"
SERVICES = {
    "inference": {
        f"{TORCHSERVE}.inference.InferenceAPIsService",
        f"{TORCHSERVE}.openinference.GRPCInferenceService",
        "inference.GRPCInferenceService",
    },
    "management": {f"{TORCHSERVE}.management.ManagementAPIsService"},
}
EVERYWHERE = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}


def check(client, service="", face="inference"):
    stub = health_grpc.HealthStub(client.channels[face])
    return health_pb2.HealthCheckResponse.ServingStatus.Name(
        stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60).status
    )


@pytest.mark.parametrize("face", SERVICES)
def test_health_tells_of_the_server_and_of_each_service(client, refused, face):
    for service in ("", "grpc.health.v1.Health", *SERVICES[face]):
        assert check(client, service, face) == "SERVING"
    with refused("NOT_FOUND"):
        check(client, "nobody", face)


def test_watching_tells_when_a_model_fails_and_is_gone(client, obedient):
    stub = health_grpc.HealthStub(client.channels["management"])
    statuses = stub.Watch(health_pb2.HealthCheckRequest())
    assert next(statuses).status == health_pb2.HealthCheckResponse.SERVING
    obedient("failing", maxRetryTimeoutInSec=0)
    with pytest.raises(grpc.RpcError):
        client.predict("failing", order=b'{"exit": 1}')
    assert next(statuses).status == health_pb2.HealthCheckResponse.NOT_SERVING
    client.manage("UnregisterModel", model_name="failing")
    assert next(statuses).status == health_pb2.HealthCheckResponse.SERVING
    statuses.cancel()
    unknown = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"))
    assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    unknown.cancel()


@pytest.mark.parametrize("face", SERVICES)
def test_reflection_lists_what_is_served_and_describes_it(client, face):
    found = database.ProtoReflectionDescriptorDatabase(client.channels[face])
    assert set(found.get_services()) == SERVICES[face] | EVERYWHERE
    for service in SERVICES[face]:
        described = found.FindFileContainingSymbol(service)
        assert service.rpartition(".")[2] in [each.name for each in described.service]
        for needed in described.dependency:
            assert found.FindFileByName(needed).name == needed


def reflect(client, version, **question):
    """As grpcurl asks: by the messages alone, under either name of the service."""
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    asked, answered = reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
    stream = client.channels["inference"].stream_stream(path, asked.SerializeToString, answered.FromString)
    [answer] = stream(iter([asked(host="h", **question)]), timeout=60)
    assert (answer.valid_host, answer.original_request.host) == ("h", "h")
    return answer


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_answers_under_both_names(client, version):
    listed = reflect(client, version, list_services="").list_services_response.service
    assert {each.name for each in listed} == SERVICES["inference"] | EVERYWHERE
    method = reflect(client, version, file_containing_symbol="inference.GRPCInferenceService.ModelInfer")
    assert len(method.file_descriptor_response.file_descriptor_proto) == 1
    message = reflect(client, version, file_containing_symbol=f"{TORCHSERVE}.inference.PredictionsRequest")
    assert len(message.file_descriptor_response.file_descriptor_proto) == 4
    none = reflect(client, version, all_extension_numbers_of_type="inference.InferParameter")
    assert none.all_extension_numbers_response.base_type_name == "inference.InferParameter"
    for question in ({"file_by_filename": "nowhere.proto"}, {"file_containing_symbol": "no.Where"}, {}):
        assert reflect(client, version, **question).error_response.error_code == 5


def test_a_call_has_its_line_in_the_access_log(client, refused):
    client.predict("tell")
    with refused("NOT_FOUND"):
        client.predict("not-in-the-log")
    log = client.contract.server.folder / "logs" / "access_log.log"
    method = f"gRPC {TORCHSERVE}.inference.InferenceAPIsService/Predictions HTTP/2.0"
    answered = re.compile(rf'- /127\.0\.0\.1:\d+ "{method}" 0 \d+ id=\S+ model=tell version=1.0 batch=1 queue=')
    missed = re.compile(rf'- /127\.0\.0\.1:\d+ "{method}" 5 \d+ id=\S+$', re.M)
    client.contract.eventually(log.is_file)
    client.contract.eventually(lambda: all(line.search(log.read_text()) for line in (answered, missed)))


def test_bytes_that_are_no_message_fail_alone(client, refused):
    predictions = client.channels["inference"].unary_unary(f"/{TORCHSERVE}.inference.InferenceAPIsService/Predictions")
    with refused("INVALID_ARGUMENT", f"The request is no {TORCHSERVE}.inference.PredictionsRequest."):
        predictions(b"\xff\xff", timeout=60)
    unknown = client.channels["inference"].unary_unary(f"/{TORCHSERVE}.inference.InferenceAPIsService/Nothing")
    with refused("UNIMPLEMENTED"):
        unknown(b"", timeout=60)
    assert client.predict("tell")


def test_predictions_are_counted_by_protocol(client, obedient, ordered, refused):
    obedient("counted")
    client.predict("counted", **ordered(answer="x"))
    list(client.inference.StreamPredictions2(iter([client.request("counted", sequence="s", **ordered())] * 2)))
    with refused("INVALID_ARGUMENT"):
        client.predict("counted", **ordered(refuse=["no", 400]))
    with refused("NOT_FOUND"):
        client.predict("nobody")
    text = client.contract.request("GET", "/metrics", listener="metrics").body.decode()
    labels = 'numserve_requests_total{model_name="counted",model_version="1.0",protocol="grpc"'
    assert f'{labels},code="OK"}} 3.0' in text and f'{labels},code="INVALID_ARGUMENT"}} 1.0' in text
    assert 'model_name="_unknown",model_version="",protocol="grpc",code="NOT_FOUND"' in text
    [theirs] = re.findall(
        r'^ts_inference_requests_total\{model_name="counted",model_version="default",.*?\} (\S+)', text, re.M
    )
    assert float(theirs) == 4


@pytest.fixture
def ending(own, ordered):
    """A server of this test's own, whose model is in the middle of an answer."""
    server = own()
    server.contract.model("obey", server.obey)
    asked = server.request("obey", **ordered(sleep=1, answer="done"))
    call = server.inference.Predictions.future(asked)
    sent = 'numserve_batch_size_count{model_name="obey",model_version="1.0"} 1'
    server.contract.eventually(
        lambda: sent in server.contract.request("GET", "/metrics", listener="metrics").body.decode()
    )
    return server, call


def test_calls_under_way_are_answered_when_the_server_stops(ending, refused):
    server, call = ending
    statuses = health_grpc.HealthStub(server.channels["management"]).Watch(health_pb2.HealthCheckRequest())
    assert next(statuses).status == health_pb2.HealthCheckResponse.SERVING
    waiting = queue.Queue()
    stream = server.inference.StreamPredictions2(iter(waiting.get, None))
    waiting.put(server.request("nobody", sequence="s"))
    assert next(stream).status.code == 5
    pid = json.loads(server.contract.server.run("numserve", "status", "--json").stdout)["pid"]
    os.kill(pid, signal.SIGTERM)
    assert [each.status for each in statuses] == [health_pb2.HealthCheckResponse.NOT_SERVING]
    with refused("UNAVAILABLE", "The server is stopping."):
        next(stream)
    waiting.put(None)
    assert call.result().prediction == b"done"
    server.contract.eventually(lambda: not os.path.exists(f"/proc/{pid}"))
