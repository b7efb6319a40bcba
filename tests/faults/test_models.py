"""Many models, and models that change while they serve (rows 38, 40, 48)."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

MANY = pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.slow)])
HANDLER = "def handle(rows, context):\n    return rows and [context.manifest['model']['modelVersion']] * len(rows)\n"


@MANY
def test_models_without_workers_cost_next_to_nothing(own, count):
    """Row 38: they are there at the start, listed page by page, and small."""
    site = own("metrics_mode=prometheus\n")
    store = site.server.store / "shared"
    (store / "MAR-INF").mkdir(parents=True)
    (store / "h.py").write_text(HANDLER)
    manifest = {"runtime": "python", "model": {"modelName": "shared", "modelVersion": "1.0", "handler": "h.py"}}
    (store / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    told = {"defaultVersion": True, "marName": "shared", "minWorkers": 0, "maxWorkers": 0}
    names = [f"m{number:05}" for number in range(count)]
    snapshot = {"name": "many", "modelCount": count, "models": {name: {"1.0": told} for name in names}}
    site.config += f"model_snapshot={json.dumps(snapshot)}\n"
    empty = own().start().now().rss
    site.start()
    started = site.cpu()
    assert listed(site) == names
    held = (site.now().rss - empty) / count
    before = site.cpu()
    scraped = site.request("GET", "/metrics", listener="metrics").body.decode()
    took = site.cpu() - before
    assert scraped.count('state="ready"') == count == scraped.count("numserve_model_ready{")
    before = site.cpu()
    for path in ("/ping", "/v2/health/ready") * 50:
        assert site.request("GET", path).status == 200
    asked = site.cpu() - before
    site.model("steady", "obey")
    with site.traffic() as traffic:
        traffic.more()
        scrapes = site.at_once(*[lambda: site.request("GET", "/metrics", listener="metrics").status] * 5)
    traffic.check()
    print(f"{count} models: {started:.1f} s, {held / 1000:.0f} kB a model, /metrics {took:.2f} s, health {asked:.2f} s")
    assert started < 30 and took < 1 and asked < 1, "seconds of a core"
    assert held < 20_000 or count < 1000
    assert scrapes == [200] * 5


def listed(site):
    names, page = [], "/models?limit=100"
    while page:
        told = site.management("GET", page).json()
        names += [model["modelName"] for model in told["models"]]
        page = told.get("nextPageToken") and f"/models?limit=100&next_page_token={told['nextPageToken']}"
    return names


def test_versions_come_and_go_while_the_model_serves(site):
    """Row 40: nobody who asks for the default version notices."""
    for version in ("1.0", "2.0"):
        site.model("moving", "obey", version=version)
    with site.traffic(model="moving", clients=4, pause=0.01) as traffic:
        for round in range(6):
            version, other = ("2.0", "1.0") if round % 2 else ("1.0", "2.0")
            assert site.management("PUT", f"/models/moving/{other}/set-default").status == 200
            for workers in (2, 1):
                path = f"/models/moving/{other}?min_worker={workers}&synchronous=true"
                assert site.management("PUT", path).status == 200
            traffic.more(5)
            assert site.management("DELETE", f"/models/moving/{version}").status == 200
            site.forget("moving", version)
            site.model("moving", "obey", version=version)
        traffic.more()
    traffic.check()
    site.management("PUT", "/models/moving/1.0/set-default")
    for version in ("2.0", "1.0"):
        assert site.management("DELETE", f"/models/moving/{version}").status == 200
        site.forget("moving", version)


def test_a_model_taken_away_is_answered_404(site):
    """Row 40: from then on, and only then."""
    site.model("leaving", "obey")
    with site.traffic(model="leaving", clients=4, pause=0.01) as traffic:
        traffic.more()
        assert site.management("DELETE", "/models/leaving").status == 200
        site.forget("leaving")
        traffic.more(5, "404")
    traffic.check({"404"})


SLOW_TO_WAKE = """
import time
from pathlib import Path

LOADED = Path({loaded!r})


def handle(rows, context):
    if rows is None:
        time.sleep(60 * LOADED.exists())
        LOADED.touch()
    return rows and [row["body"] for row in rows]
"""


def test_a_model_taken_away_while_it_wakes_tells_those_who_wait(site, tmp_path):
    """Row 40: one answer each, with the reason; the handler is not waited for."""
    config = {"minWorkers": 1, "maxWorkers": 1, "scaleToZeroAfter": 1}
    assert site.register("dozing", SLOW_TO_WAKE.format(loaded=f"{tmp_path}/loaded"), **config).status == 200
    site.eventually(lambda: not site.described("dozing")["workers"])
    with site.traffic() as traffic, ThreadPoolExecutor() as pool:
        waiting = [pool.submit(site.post, "/predictions/dozing", b"x") for _ in range(5)]
        site.eventually(lambda: site.metric("numserve_queue_depth", model_name="dozing") == 5)
        assert site.management("DELETE", "/models/dozing").status == 200
        site.forget("dozing")
        told = [each.result().error for each in waiting]
    traffic.check()
    assert told == [(503, "ServiceUnavailableException", "The model is being removed.")] * 5
    assert site.post("/predictions/dozing", b"x").status == 404


def test_scrapes_disturb_nobody(site):
    """Row 48: fifty at once, under load."""
    with site.traffic() as traffic:
        scrape = lambda: site.request("GET", "/metrics", listener="metrics")  # noqa: E731
        answers = site.at_once(*[scrape] * 50)
        traffic.more()
    traffic.check()
    assert {answer.status for answer in answers} == {200}
    assert all(b"numserve_requests_total" in answer.body for answer in answers)


def test_unknown_names_share_a_label(site):
    """Row 48: names that somebody has made up must not fill the memory."""
    letters = random.Random(0)
    before = len(site.request("GET", "/metrics", listener="metrics").body.splitlines())
    with site.traffic() as traffic, ExitStack() as until:
        connection = site.connect()
        until.callback(connection.close)
        for _ in range(500):
            name = "".join(letters.choices("abcdefghij", k=12))
            for path in (f"/predictions/{name}", f"/v2/models/{name}/infer", f"/{name}"):
                connection.request("POST", path, b"x")
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 404
                if answer.getheader("connection") == "close":
                    connection.close()
    traffic.check()
    told = site.request("GET", "/metrics", listener="metrics").body.decode()
    assert len(told.splitlines()) < before + 40
    assert "_unknown" in told
