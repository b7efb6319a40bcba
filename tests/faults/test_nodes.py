"""Several servers behind a balancer, as any of them may be lost, hang, and come back (row 49)."""

from __future__ import annotations

import contextlib
import http.client
import signal
import threading
import time
from collections import Counter

LIMIT = 60.0
PATIENCE, PAUSE = 2.0, 0.2
"""Seconds that a node gets for an answer, and for which it is asked nothing after it gave none."""


class Balancer:
    """Clients that number their requests and ask one node after the other, until one answers: as a balancer retries."""

    def __init__(self, nodes, clients=4):
        self.nodes, self.served = nodes, Counter()
        self.wrong, self.lost = [], []
        self._out = {}
        self._ends = threading.Event()
        self._clients = [threading.Thread(target=self._ask, args=(number, clients)) for number in range(clients)]

    def __enter__(self):
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        for client in self._clients:
            client.join()

    def more(self, site, answers=20):
        """Wait until a node has answered so much more."""
        enough = self.served[site.mark] + answers
        site.eventually(lambda: self.served[site.mark] >= enough or self.lost or self.wrong)
        assert not self.lost and not self.wrong, (self.lost[:5], self.wrong[:5])

    def _ask(self, number, step):
        while not self._ends.is_set():
            until = time.monotonic() + LIMIT
            while not self._answered(b"%d" % number):
                if time.monotonic() > until:
                    self.lost.append(number)
                    return
            number += step
            time.sleep(0.01)

    def _answered(self, number):
        """Whether the next node that is in has answered."""
        now = time.monotonic()
        inside = [node for node in self.nodes if self._out.get(node.mark, 0) <= now]
        for node in sorted(inside, key=lambda node: self.served[node.mark]):
            with contextlib.suppress(OSError, http.client.HTTPException):
                with contextlib.closing(node.connect()) as connection:
                    connection.timeout = PATIENCE
                    connection.request("POST", "/predictions/steady", number, {"Content-Type": "text/plain"})
                    answer = connection.getresponse()
                    body = answer.read()
                if answer.status == 200:
                    self.served[node.mark] += 1
                    if body != number:
                        self.wrong.append((number, body))
                    return True
            self._out[node.mark] = time.monotonic() + PAUSE
        time.sleep(0.01)
        return False


def test_a_node_that_is_lost_or_hangs_is_passed_over_until_it_is_back(own):
    """Row 49: it is started again at the same address, over what the one before it has left."""
    nodes = [own().start() for _ in range(2)]
    for node in nodes:
        node.model("steady", "obey")
    first, second = nodes
    with Balancer(nodes) as balancer:
        balancer.more(first)
        balancer.more(second)
        assert first.ends(signal.SIGKILL) == -signal.SIGKILL
        balancer.more(second)
        first.eventually(lambda: not first.alive())
        first.start(at_the_same_address=True)
        first.forget("steady")
        first.model("steady", "obey")
        balancer.more(first)
        second.process.send_signal(signal.SIGSTOP)
        try:
            balancer.more(first)
        finally:
            second.process.send_signal(signal.SIGCONT)
        balancer.more(second)
        assert second.ends() == 0
        balancer.more(first)
    assert not balancer.lost and not balancer.wrong
