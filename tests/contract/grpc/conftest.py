"""Servers with real workers that speak gRPC, and clients that protoc makes from the protocols in the package."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest
from grpc_tools import protoc

HERE = Path(__file__).parent
PROTOS = HERE.parents[2] / "server" / "grpc" / "protos"
GRPC = "enable_grpc=true\ngrpc_inference_port=0\ngrpc_management_port=0\n"
LIMIT = 60.0
TOKENS = {
    "predicts": "predict-0123456789abcdef",
    "manages": "manages-0123456789abcdef",
    "scrapes": "scrapes-0123456789abcdef",
    "one model": "onemodel-0123456789abcdef",
}
SCOPES = {"predicts": "predict", "manages": "manage", "scrapes": "metrics", "one model": "predict:tell"}
TOKEN_FILE = "".join(f"{scope} {TOKENS[holder]}\n" for holder, scope in SCOPES.items())


def _shared() -> Any:
    spec = importlib.util.spec_from_file_location("numserve_grpc_conftest", HERE.parent / "inference" / "conftest.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


SHARED = _shared()
deviates = SHARED.deviates


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModuleType]:
    """The modules that protoc makes of TorchServe's protocols, as docs/grpc.md says."""
    folder = tmp_path_factory.mktemp("generated")
    names = ["google_rpc_status.proto", "torchserve_inference.proto", "torchserve_management.proto"]
    wellknown = Path(protoc.__file__).parent / "_proto"
    places = [f"-I{PROTOS}", f"-I{wellknown}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["protoc", *places, *names]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        stems = [f"torchserve_{face}_{kind}" for face in ("inference", "management") for kind in ("pb2", "pb2_grpc")]
        return {stem.removeprefix("torchserve_"): importlib.import_module(stem) for stem in stems}


class Client:
    """TorchServe's two services of one server, by the generated stubs; each call with a limit of time."""

    obey, count = (str(HERE / "handlers" / name) for name in ("obey", "count"))

    def __init__(self, contract: Any, generated: dict[str, ModuleType], tls: Any = None) -> None:
        self.contract = contract
        self.token: str | None = None
        self.asked = generated["inference_pb2"].PredictionsRequest
        self.messages = generated["management_pb2"]
        places = {face: contract.addresses[f"grpc_{face}"] for face in ("inference", "management")}
        self.channels = {
            face: grpc.secure_channel(place.replace("127.0.0.1", "localhost"), tls)
            if tls
            else grpc.insecure_channel(place)
            for face, place in places.items()
        }
        self.inference = generated["inference_pb2_grpc"].InferenceAPIsServiceStub(self.channels["inference"])
        self.management = generated["management_pb2_grpc"].ManagementAPIsServiceStub(self.channels["management"])

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.token}")] if self.token else []

    def request(self, model: str, version: str = "", sequence: str | None = None, **inputs: bytes) -> Any:
        return self.asked(model_name=model, model_version=version, input=inputs, sequence_id=sequence)

    def predict(self, model: str, version: str = "", timeout: float = LIMIT, **inputs: bytes) -> bytes:
        asked = self.request(model, version, **inputs)
        answer: bytes = self.inference.Predictions(asked, timeout=timeout, metadata=self.metadata).prediction
        return answer

    def manage(self, operation: str, **fields: Any) -> str:
        """The answer to an operation by its name; its request has the same."""
        asked = getattr(self.messages, f"{operation}Request")(**fields)
        told: str = getattr(self.management, operation)(asked, timeout=LIMIT, metadata=self.metadata).msg
        return told

    def close(self) -> None:
        for channel in self.channels.values():
            channel.close()


def order(**what: Any) -> dict[str, bytes]:
    """The input by which a model of the handler `obey` is told what to do."""
    return {"order": json.dumps(what).encode()}


MIRROR = str(HERE / "handlers" / "mirror")


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server with the default configuration and the model API."""
    with SHARED._serving(tmp_path_factory.mktemp("grpc"), GRPC + "max_request_size=1000000\n") as found:
        yield found


@pytest.fixture(scope="session")
def client(contract: Any, generated: dict[str, ModuleType]) -> Iterator[Client]:
    """Both services of it, with the models `tell` and `obey`, which does what `ordered(...)` says."""
    contract.model("tell")
    contract.model("obey", Client.obey)
    made = Client(contract, generated)
    yield made
    made.close()


@pytest.fixture
def own(tmp_path: Path, generated: dict[str, ModuleType]) -> Iterator[Any]:
    """`own("key=value\\n", tls=credentials)`: clients of a server of the test's own."""
    with contextlib.ExitStack() as stack:

        def start(config: str = "", tls: Any = None) -> Client:
            served = stack.enter_context(SHARED._serving(tmp_path, GRPC + config))
            return stack.enter_context(contextlib.closing(Client(served, generated, tls)))

        yield start


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, generated: dict[str, ModuleType]) -> Iterator[Client]:
    """A server that asks for tokens."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "tokens").write_text(TOKEN_FILE)
    with SHARED._serving(folder, f"{GRPC}token_file={folder}/tokens\n") as found:
        made = Client(found, generated)
        yield made
        made.close()


class Refused:
    """`with refused("NOT_FOUND", "text"):` the call inside fails with that status, and the text in its description."""

    def __init__(self, code: str, text: str = "") -> None:
        self.code, self.text = code, text

    def __enter__(self) -> None:
        self.expected = pytest.raises(grpc.RpcError)
        self.caught = self.expected.__enter__()

    def __exit__(self, *error: Any) -> bool:
        done = self.expected.__exit__(*error)
        found = self.caught.value
        assert (found.code().name, self.text in found.details()) == (self.code, True), (found.code(), found.details())
        return bool(done)


@pytest.fixture(scope="session")
def refused() -> type[Refused]:
    return Refused


@pytest.fixture(scope="session")
def ordered() -> Any:
    return order


@pytest.fixture(scope="session")
def obedient(client: Client) -> Any:
    """`obedient("name", batchSize=2)`: a model of its own that does what `ordered(...)` says."""
    return lambda name, **config: client.contract.model(name, Client.obey, **config)


@pytest.fixture(scope="session")
def mirror() -> str:
    """The handler that tells, by the Open Inference Protocol, what it was given."""
    return MIRROR


@pytest.fixture(scope="session")
def tokens() -> dict[str, str]:
    return TOKENS
