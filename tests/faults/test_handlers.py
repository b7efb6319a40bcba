"""Handlers that print without end, answer nonsense, or leave things behind (rows 30, 31, 34, 35, 36)."""

from __future__ import annotations

import json
import os
import re

import pytest

FLOODS = {
    "lines": {"times": 4000, "line": "flood " * 3 + "\n"},
    "no line end": {"times": 320, "line": "x" * 65536},
    "bytes": {"times": 320, "line": "\xff\x00\x1b[2J" * 10000},
    "errors": {"times": 4000, "line": "flood\n", "descriptor": 2},
}
WRONG = {
    "None": (503, "Invalid model predict output"),
    "a generator": (503, "Invalid model predict output"),
    "a dictionary": (503, "Invalid model predict output"),
    "too few": (503, "number of batch response mismatched"),
    "too many": (503, "number of batch response mismatched"),
}
UNFIT = ("a generator", "a set", "an array", "numpy numbers", "a loop")


@pytest.mark.parametrize("flood", FLOODS)
def test_what_a_handler_prints_blocks_nobody(site, flood):
    """Row 31: it is read, cut, and counted."""
    site.obey()
    with site.traffic() as traffic:
        assert site.order(print=FLOODS[flood], answer="printed").body == b"printed"
        traffic.more()
    traffic.check()
    if flood in ("lines", "errors"):
        site.lines("lines dropped: a worker may log 200 a second")
    else:
        assert max(len(line) for line in site.said().splitlines()) < 40_000
        site.remove()  # what has no line end is told of when the worker ends
        site.lines("bytes more")


@pytest.mark.slow
@pytest.mark.parametrize("flood", FLOODS)
def test_half_a_gigabyte_of_print_blocks_nobody(own, flood):
    """Row 31, in full."""
    site = own().start()
    site.model("steady", "obey")
    site.obey()
    line = FLOODS[flood]["line"] * max(1, 65536 // len(FLOODS[flood]["line"]))
    order = FLOODS[flood] | {"line": line, "times": (500 << 20) // len(line)}
    with site.traffic() as traffic:
        assert site.order(print=order, answer="printed").body == b"printed"
        traffic.more()
    traffic.check()
    assert os.path.getsize(site.output) < 5 << 20


@pytest.mark.parametrize("whole", WRONG)
def test_a_wrong_list_of_answers_is_told(site, whole):
    """Row 34: both counts are named; the worker stays."""
    answer = told_beside_traffic(site, whole=whole)
    assert answer.error[0] == WRONG[whole][0] and answer.error[2] == WRONG[whole][1]
    if whole.startswith("too"):
        site.lines(f"the handler returned {0 if whole == 'too few' else 2} answers to 1 requests")


def told_beside_traffic(site, **order):
    """What an order of its own is answered while others are served; the worker stays."""
    site.obey()
    before = site.workers("obey")
    with site.traffic() as traffic:
        answer = site.order(**order)
    traffic.check()
    assert site.workers("obey") == before
    return answer


@pytest.mark.parametrize("value", UNFIT)
def test_an_answer_that_cannot_be_sent_is_told(site, value):
    """Row 34: what json.dumps does not take."""
    site.obey()
    before = site.workers("obey")
    assert site.order(**{"return": value}).error == (
        503, "InternalServerException", "Unsupported model output data type.",
    )  # fmt: skip
    assert site.order(answer="fine").body == b"fine" and site.workers("obey") == before


@pytest.mark.parametrize("value", ["NaN", "infinity"])
def test_nan_and_infinity_are_written_as_python_writes_them(site, value):
    """Row 34: the policy that docs/handlers.md states."""
    site.obey()
    answer = site.order(**{"return": value})
    assert answer.status == 200 and json.dumps(answer.json()) in ('{"y": NaN}', "[Infinity, -Infinity]")
    assert "`NaN`" in (site.handlers.parents[2] / "docs" / "handlers.md").read_text()


@pytest.mark.parametrize("size", [80_000_000, 1 << 30])
def test_an_answer_that_is_too_large_is_told(site, size):
    """Row 34: it never leaves the worker, which stays."""
    answer = told_beside_traffic(site, size=size)
    assert answer.error == (500, "InternalServerException", "Model output is too large.")


@pytest.mark.parametrize("poison", ["raise", "segfault", "memory"])
def test_one_poison_item_of_a_batch_of_32_fails_alone(site, poison):
    """Row 35."""
    site.obey(batchSize=32, maxBatchDelay=20_000, fixedDelay=True, responseTimeout=60)
    orders = [{"answer": f"{number}"} for number in range(31)]
    with site.traffic() as traffic:
        answers = site.at_once(
            *[lambda order=order: site.order(**order) for order in orders],
            lambda: site.order(**{"break": poison}),
        )
    traffic.check()
    assert [answer.body for answer in answers[:-1]] == [b"%d" % number for number in range(31)]
    assert answers[-1].status == {"raise": 503, "segfault": 500, "memory": 507}[poison]


def test_shapes_and_types_that_differ_share_no_tensor(site):
    """Row 36: in one batch of the handler `tensor`; each answer is its own request's, as it would be alone."""
    site.model("twice", "tensor", model_file="twice", batchSize=4, maxBatchDelay=20_000, fixedDelay=True)
    rows = [("FP32", [1, 2]), ("FP32", [1, 2, 3]), ("INT64", [1, 2]), ("FP64", [0.5, 0.25])]
    answers = site.at_once(*[lambda row=row: site.json("/v2/models/twice/infer", infer(*row)) for row in rows])
    assert site.management("DELETE", "/models/twice").status == 200
    site.forget("twice")
    outputs = [answer.json()["outputs"][0] for answer in answers]
    assert [(each["datatype"], each["data"]) for each in outputs] == [
        (datatype, [2 * number for number in data]) for datatype, data in rows
    ]


def infer(datatype, data):
    """A request of one row by the Open Inference Protocol."""
    return {"inputs": [{"name": "x", "datatype": datatype, "shape": [1, len(data)], "data": data}]}


def test_children_of_a_handler_end_with_it(site):
    """Row 42: fifty processes that a handler has started and forgotten; the oracle counts them."""
    site.obey()
    before = site.now()
    assert site.order(children=50, answer="forked").body == b"forked"
    assert len(site.now().processes - before.processes) >= 50
    site.remove()


def test_a_handler_that_closes_its_descriptors_is_replaced(site):
    """Its socket among them: the worker can never answer."""
    site.obey()
    with site.traffic() as traffic:
        assert site.order(**{"break": "closed descriptors"}).status == 500
        assert site.order(answer="back").body == b"back"
    traffic.check()


WIRE = """
import os
import stat
from struct import pack

SAYS = {
    b"noise": b"\\xff" * 100,
    b"more bytes than there are": pack("<BII", 5, 4, 1) + pack("<Q", 2**62) + b"null",
    b"memory that nobody shares": pack("<BII", 0x85, 4, 1) + pack("<Q", 2**40) + b"null",
    b"lists in lists": pack("<BII", 5, 100_000, 0) + b"[" * 100_000,
    b"an answer before the answer": pack("<BII", 5, 4, 0) + b"null",
    b"pieces of others": pack("<BII", 7, 17, 0) + b'{"answers":[1,2]}',
    b"that it has loaded": pack("<BII", 2, 4, 0) + b"null",
}


def handle(rows, context):
    for row in rows or []:
        for number in map(int, os.listdir("/proc/self/fd")):
            try:
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    os.write(number, SAYS.get(bytes(row["body"]), b""))
            except OSError:
                pass
    return rows and ["fine"] * len(rows)
"""
SAYS = re.findall(r'^    b"(.+)": ', WIRE, re.MULTILINE)


@pytest.mark.parametrize("says", SAYS)
def test_a_handler_that_speaks_for_its_worker_is_replaced(site, says):
    """What it says in the worker's place is no answer: one request fails, nobody else's, and no memory is taken."""
    assert site.register("speaking", WIRE).status == 200
    with site.traffic() as traffic:
        assert site.post("/predictions/speaking", says.encode()).status == 500
        assert site.post("/predictions/speaking", b"nothing").body == b"fine"
    traffic.check()
