"""docs/grpc.md's own client, made and run as the page says."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "docs" / "grpc.md").read_text(), re.DOTALL | re.MULTILINE)


def test_the_pages_client_can_be_made_and_gets_an_answer(server):
    with server.config.open("a") as file:
        file.write("enable_grpc=true\ngrpc_inference_port=0\ngrpc_management_port=0\n")
    server.start(f"digits={server.archive_digits('1.0')}")
    [command] = [block for block in blocks("") if "grpc_tools.protoc" in block]
    words = [
        word.replace("server/grpc/protos", str(ROOT / "server/grpc/protos")) for word in command.split() if word != "\\"
    ]
    assert words[0] == "python"
    subprocess.run([sys.executable, *words[1:]], cwd=server.folder, check=True, timeout=60)
    [code] = [block for block in blocks("python") if "torchserve_inference_pb2" in block]
    code = code.replace("127.0.0.1:7070", server.addresses["grpc_inference"]).replace("examples/", f"{ROOT}/examples/")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=server.folder, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith('b\'{\\n  "7": 0.99')
