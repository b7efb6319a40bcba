"""LitServe: the model behind JSON, bytes in Base64. It reads annotations, which are left out therefore."""

import base64
import os
import sys

import litserve
from models import load

BINARY = os.environ["PEER_MODEL"] in ("mlp", "resnet18")


class Served(litserve.LitAPI):
    def setup(self, device):
        self.model = load()

    def decode_request(self, request):
        given = request["x"]
        return base64.b64decode(given) if BINARY and isinstance(given, str) else given

    def predict(self, x):
        return self.model(x)

    def encode_response(self, output):
        return {"output": output}


if __name__ == "__main__":
    server = litserve.LitServer(Served(), accelerator="cpu", workers_per_device=1, timeout=False, restart_workers=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
