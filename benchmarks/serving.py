"""numserve beside LitServe, BentoML, MLServer, Ray Serve and TorchServe: the same models, one worker each, in turns.

    python benchmarks/serving.py [--peers NAME...] [--models echo mlp resnet18] [--rounds 2] [--seconds 1.5] [--quick]
                                 [--json FILE] [--markdown benchmarks/README.md]

benchmarks/peers/install makes the peers' environments; one that is not there is left out. echo takes 1 KB, mlp is
784-128-10 in NumPy from JSON and from bytes, resnet18 classifies a 224x224 JPEG: by the engine's native executor here,
by torch in all others. Batches of one, as many threads as cores. A server is started for each model and round, alone,
and asked over loopback by the closed loop of `numserve bench`; the best of the rounds counts. Then the only worker of
echo is killed under the load of 8 clients, and 512 clients ask for a model that sleeps 50 ms. The exit code is 1
where a target is missed, a server does not start, or an answer is wrong.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numserve
from numserve.server.bench.report import machine
from peers import figures as tables
from peers.figures import Figures
from peers.measures import overload, point, recovery
from peers.peer import PEERS, Peer
from peers.running import NoAnswer, Running, adopt, running
from peers.workloads import SLOW, WORKLOADS, Workload, make_store

MODELS = tuple(dict.fromkeys(workload.model for workload in WORKLOADS.values()))
CROWD_SECONDS = 5.0
BEGIN, END = "<!-- serving.py: begin -->\n", "<!-- serving.py: end -->\n"


class Comparison:
    """Peers in turns, and what was measured of them."""

    def __init__(self, peers: Sequence[Peer], store: Path, seconds: float) -> None:
        self.figures = Figures()
        self._peers, self._store, self._seconds = peers, store, seconds

    def run(self, models: Sequence[str], rounds: int) -> None:
        """Everything; what takes no rounds comes after the first."""
        for number in range(rounds):
            for model in models:
                self.round(model)
            if not number and "echo" in models:
                self.kill()
                self.crowd()

    def round(self, model: str) -> None:
        """Start each peer with a model, and put it under load."""
        workloads = {name: workload for name, workload in WORKLOADS.items() if workload.model == model}
        for peer, server in self._running(next(iter(workloads.values()))):
            if model == "echo":
                self.figures.add("echo: cold start s", peer.name, server.cold_start)
                time.sleep(1)
                self.figures.add("echo: idle PSS MB", peer.name, server.pss() / 1e6)
            for name, workload in workloads.items():
                request = peer.request(model, workload.given)
                for clients in workload.levels:
                    warmup = min(0.5, self._seconds) if clients < 64 or model != "resnet18" else 0
                    found = point(server, request, clients, self._seconds, warmup)
                    self.figures.point(name, peer.name, clients, found)
                if name == "echo" and peer.ours:
                    front = point(server, request, 64, self._seconds, 0, front=True)
                    self.figures.add("echo: CPU µs of the front, c=64", peer.name, 1e6 * (front.server["cpu"] or 0))

    def kill(self) -> None:
        """Kill the only worker of each."""
        for peer, server in self._running(WORKLOADS["echo"]):
            self.figures.recovery(peer.name, recovery(server, peer.request("echo", WORKLOADS["echo"].given)))

    def crowd(self) -> None:
        """Too many clients for each."""
        for peer, server in self._running(SLOW):
            self.figures.overload(peer.name, overload(server, peer.request("slow", SLOW.given), CROWD_SECONDS))

    def _running(self, workload: Workload) -> Iterator[tuple[Peer, Running]]:
        """Each peer, started with the model, and its first answer looked at."""
        for peer in self._peers:
            began = time.perf_counter()
            try:
                with running(peer, workload.model, workload.given, self._store) as server:
                    if not workload.right(server.answer):
                        self.figures.failures.append(f"{workload.model}, {peer.name}: wrong: {server.answer[:200]!r}")
                    yield peer, server
            except NoAnswer as error:
                print(error, file=sys.stderr)
                self.figures.failures.append(f"{workload.model}, {peer.name}: did not start")
            print(f"{workload.model}, {peer.name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)


def report(figures: Figures, peers: Sequence[Peer], rounds: int, seconds: float) -> str:
    """All tables, as Markdown."""
    names = [peer.name for peer in peers]
    told = machine()
    versions = ", ".join(f"{peer.name} {peer.version}" for peer in peers)
    head = f"{told['cpu']}, {told['cores']} cores, Python {platform.python_version()}, {rounds} × {seconds:g} s"
    parts = [f"{head}; {versions}. The load generator took at most {figures.generator:.0%} of a core."]
    parts += [
        tables.of_load(figures, name, names, workload.levels)
        for name, workload in WORKLOADS.items()
        if any(key.startswith(f"{name}:") for key in figures.values)
    ]
    parts += [tables.of_life(figures, names), tables.of_targets(figures)]
    parts += ["\n".join(f"- {each}" for each in figures.remarks + figures.failures)]
    return "\n\n".join(filter(None, parts)) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="numserve is always there")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each point")
    parser.add_argument("--quick", action="store_true", help="one round of half a second")
    parser.add_argument("--json", type=Path, help="write all rounds there")
    parser.add_argument("--markdown", type=Path, help="put the tables between the two marks of this page")
    given = parser.parse_args()
    rounds, seconds = (1, 0.5) if given.quick else (given.rounds, given.seconds)
    peers = []
    for name, peer in PEERS.items():
        if not peer.ours and name not in given.peers:
            continue
        if peer.absent:
            print(peer.absent, file=sys.stderr)
        else:
            peers.append(peer)
    for place in numserve.__path__:  # as pip has compiled the peers' packages
        compileall.compile_dir(place, rx=re.compile(r"/(\.[^/]*|benchmarks|docs|examples|tests)/"), quiet=1)
    adopt()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended, too
    with tempfile.TemporaryDirectory() as folder:
        make_store(Path(folder), {*given.models, "slow"})
        comparison = Comparison(peers, Path(folder), seconds)
        try:
            comparison.run(given.models, rounds)
        except KeyboardInterrupt:
            comparison.figures.failures.append("stopped before the end")
    figures = comparison.figures
    told = report(figures, peers, rounds, seconds)
    print(told)
    if given.json:
        kept = {
            "machine": machine(),
            "versions": {peer.name: peer.version for peer in peers},
            "figures": figures.values,
        }
        given.json.write_text(json.dumps(kept, indent=1) + os.linesep)
    if given.markdown:
        before, _, rest = given.markdown.read_text().partition(BEGIN)
        given.markdown.write_text(before + BEGIN + told + END + rest.partition(END)[2])
    return bool(figures.missed() or figures.failures)


if __name__ == "__main__":
    sys.exit(main())
