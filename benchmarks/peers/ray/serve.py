"""Ray Serve: the model in one replica, which reads the body itself."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

os.environ.setdefault("RAY_SERVE_THROUGHPUT_OPTIMIZED", "1")  # read when it is imported

import ray
from models import load
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=1, max_ongoing_requests=1000, ray_actor_options={"num_cpus": 1})
class Served:
    def __init__(self) -> None:
        self.model = load()

    async def __call__(self, request: Request) -> Any:
        if request.headers["content-type"] == "application/json":
            return self.model((await request.json())["x"])
        answer = self.model(await request.body())
        return Response(answer) if isinstance(answer, bytes) else answer


if __name__ == "__main__":
    ray.init(include_dashboard=False, _temp_dir=sys.argv[2], num_cpus=os.cpu_count())
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Served.bind())
    signal.sigwait([signal.SIGTERM, signal.SIGINT])
    serve.shutdown()
    ray.shutdown()
