"""The handlers that docs/sequences.md shows do what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "sequences.md"


@pytest.fixture
def shown(contract, tmp_path):
    """Serves the page's nth block of Python as a model."""

    def serve(number, name, **config):
        (tmp_path / f"{name}.py").write_text(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[number])
        return contract.model(name, str(tmp_path / f"{name}.py"), **config)

    return serve


def test_the_talk_remembers_until_bye(shown, contract):
    name = shown(0, "talk", sequenceBatching=True, sequenceMaxIdleMSec=60_000, maxBatchDelay=0)

    def say(word, **headers):
        return contract.json(f"/predictions/{name}", {"say": word}, **headers)

    first = say("hello")
    sequence = {"ts_request_sequence_id": first["ts_request_sequence_id"]}
    assert [first.json(), say("again", **sequence).json()] == [1, 2]
    assert say("other").status == 503  # maxNumSequence is 1
    ended = say("bye", **sequence)
    assert (ended.json(), ended["ts_request_sequence_end"]) == (3, sequence["ts_request_sequence_id"])
    assert say("other").json() == 1


def test_the_countdown_ends_at_zero(shown, contract):
    name = shown(1, "countdown", continuousBatching=True, batchSize=8)
    calls = [lambda start=start: contract.json(f"/predictions/{name}", {"from": start}) for start in (0, 2, 5)]
    assert [answer.body.split() for answer in contract.at_once(*calls)] == [
        [b"%d" % number for number in range(start, -1, -1)] for start in (0, 2, 5)
    ]
