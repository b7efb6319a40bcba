"""The protocols: made of their files, and equal on the wire to those they stand for."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from numserve.server.grpc import descriptors
from numserve.server.grpc.messages import POOL, message_class, service

ROOT = Path(__file__).parents[3]
TORCHSERVE = "org.pytorch.serve.grpc"
TYPES = {
    "string": FieldDescriptor.TYPE_STRING, "bytes": FieldDescriptor.TYPE_BYTES, "int32": FieldDescriptor.TYPE_INT32,
    "bool": FieldDescriptor.TYPE_BOOL, "message": FieldDescriptor.TYPE_MESSAGE,
}  # fmt: skip

# Message → its fields in the order of their numbers, from 1 (contract: gRPC, sections 2 and 3).
FIELDS = {
    "inference.PredictionsRequest": "model_name string, model_version string, input message, sequence_id string",
    "inference.PredictionResponse": "prediction bytes, sequence_id string, status message",
    "inference.TorchServeHealthResponse": "health string",
    "management.ManagementResponse": "msg string",
    "management.DescribeModelRequest": "model_name string, model_version string, customized bool",
    "management.ListModelsRequest": "limit int32, next_page_token int32",
    "management.RegisterModelRequest": "batch_size int32, handler string, initial_workers int32, "
    "max_batch_delay int32, model_name string, response_timeout int32, runtime string, synchronous bool, "
    "url string, s3_sse_kms bool, startup_timeout int32",
    "management.ScaleWorkerRequest": "model_name string, model_version string, max_worker int32, min_worker int32, "
    "number_gpu int32, synchronous bool, timeout int32",
    "management.SetDefaultRequest": "model_name string, model_version string",
    "management.UnregisterModelRequest": "model_name string, model_version string",
}
METHODS = {
    "inference.InferenceAPIsService": {
        "Ping": ("google.protobuf.Empty", "TorchServeHealthResponse"),
        "Predictions": ("PredictionsRequest", "PredictionResponse"),
        "StreamPredictions": ("PredictionsRequest", "stream PredictionResponse"),
        "StreamPredictions2": ("stream PredictionsRequest", "stream PredictionResponse"),
    },
    "management.ManagementAPIsService": {
        "DescribeModel": ("DescribeModelRequest", "ManagementResponse"),
        "ListModels": ("ListModelsRequest", "ManagementResponse"),
        "RegisterModel": ("RegisterModelRequest", "ManagementResponse"),
        "ScaleWorker": ("ScaleWorkerRequest", "ManagementResponse"),
        "SetDefault": ("SetDefaultRequest", "ManagementResponse"),
        "UnregisterModel": ("UnregisterModelRequest", "ManagementResponse"),
    },
}


def test_the_descriptors_are_those_of_the_files():
    spec = importlib.util.spec_from_file_location("protos", ROOT / "scripts" / "protos.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made = {file.name: file for file in script.described()}
    namespace = {}
    exec(script.module(made.values()), namespace)
    assert namespace["FILES"].keys() == descriptors.FILES.keys()
    for name, file in made.items():
        assert POOL.FindFileByName(name).serialized_pb == file.SerializeToString(deterministic=True)


@pytest.mark.parametrize("name", FIELDS)
def test_torchserves_messages_have_its_fields(name):
    wanted = [tuple(field.split()) for field in FIELDS[name].split(", ")]
    fields = message_class(f"{TORCHSERVE}.{name}").DESCRIPTOR.fields
    assert [(f.name, f.number, f.type) for f in fields] == [
        (field, number, TYPES[kind]) for number, (field, kind) in enumerate(wanted, start=1)
    ]


@pytest.mark.parametrize("name", METHODS)
def test_torchserves_services_have_its_calls(name):
    package = f"{TORCHSERVE}.{name.partition('.')[0]}."

    def told(streams, kind):
        return ("stream " if streams else "") + kind.full_name.removeprefix(package)

    assert METHODS[name] == {
        method.name: (
            told(method.client_streaming, method.input_type),
            told(method.server_streaming, method.output_type),
        )
        for method in service(f"{TORCHSERVE}.{name}").methods
    }


def shapes(file):
    """What decides about the wire, of a file's messages: full name → field → number, type, repetition, its message."""
    found, todo = {}, [(file.package, message) for message in file.message_type]
    while todo:
        prefix, message = todo.pop()
        name = f"{prefix}.{message.name}"
        todo += [(name, nested) for nested in message.nested_type]
        found[name] = {f.name: (f.number, f.type, f.label == f.LABEL_REPEATED, f.type_name) for f in message.field}
    return found


@pytest.mark.parametrize(
    ("ours", "module"),
    [
        ("open_inference.proto", "tritonclient.grpc.service_pb2"),
        ("health.proto", "grpc_health.v1.health_pb2"),
    ],
)
def test_the_other_protocols_are_those_of_their_own_clients(ours, module):
    pytest.importorskip(module)
    theirs = FileDescriptorProto.FromString(importlib.import_module(module).DESCRIPTOR.serialized_pb)
    mine = shapes(FileDescriptorProto.FromString(POOL.FindFileByName(ours).serialized_pb))
    assert mine
    assert {name: fields for name, fields in shapes(theirs).items() if name in mine} == mine


def test_reflection_is_that_of_its_own_client():
    """The client's protocol is the older name's; nothing else differs."""
    reflection = pytest.importorskip("grpc_reflection.v1alpha.reflection_pb2")
    theirs = FileDescriptorProto.FromString(reflection.DESCRIPTOR.serialized_pb)
    mine = shapes(FileDescriptorProto.FromString(POOL.FindFileByName("reflection.proto").serialized_pb))
    renamed = json.loads(json.dumps(shapes(theirs)).replace("v1alpha", "v1"))
    assert renamed == json.loads(json.dumps(mine))


def test_the_package_brings_none_of_the_extra():
    code = "import sys, numserve.server.grpc; print({'grpc', 'google.protobuf'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "set()\n"
