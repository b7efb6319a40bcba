"""Keeping memory saves the faults of its pages, and giving it back gives it back: in processes of their own."""

import json
import subprocess
import sys

import pytest

SCRIPT = """
import gc, json, os, resource
from numserve.server.heap import HEAP

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def faults(size, rounds=5):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        bytearray(bytes(size))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / rounds

size = 64 << 20
small = resident()
usual = faults(size)
HEAP.keep()
faults(size, 3)
kept, held = faults(size), resident() - small
HEAP.give_back()
print(json.dumps([usual, kept, held, resident() - small, faults(1 << 20)]))
"""


@pytest.fixture(scope="module")
def measured():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    return dict(zip(["usual", "kept", "held", "left", "later"], json.loads(run.stdout), strict=True))


def test_what_is_kept_costs_no_faults(measured):
    assert measured["usual"] > 10_000 and measured["kept"] < measured["usual"] / 4


def test_what_is_given_back_is_gone(measured):
    assert measured["held"] > 64 << 20 > measured["left"] * 8


def test_afterwards_pieces_of_usual_sizes_are_reused(measured):
    assert measured["later"] < 200


def test_a_library_without_these_functions_is_left_alone():
    script = "import ctypes; ctypes.CDLL = lambda name: object()\nfrom numserve.server.heap import HEAP\n"
    script += "HEAP.keep(); print(HEAP.kept); HEAP.give_back(); print(HEAP.kept)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.split() == ["True", "False"]
