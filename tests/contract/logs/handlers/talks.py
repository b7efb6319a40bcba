"""Says what it is sent on standard output and on standard error, and logs it."""

import logging
import sys


def handle(data, context):
    for row in data or []:
        text = bytes(row["body"]).decode()
        print(f"printed {text}", flush=True)
        print(f"complained {text}", file=sys.stderr, flush=True)
        logging.getLogger(__name__).info("logged %s", text)
    return ["said"] * len(data or [])
