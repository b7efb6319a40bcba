"""Tells each client what the handler was given for its request."""


def handle(data, context):
    return [told(index, row, context) for index, row in enumerate(data or [])]


def told(index, row, context):
    return {
        "row": {key: [type(value).__name__, plain(value)] for key, value in parts(row).items()},
        "headers": {name: value for name, value in context.get_all_request_header(index).items()},
        "url_path": context.get_request_header(index, "url_path"),
        "explain": context.get_request_header(index, "explain"),
        "X-Foo-Bar": context.get_request_header(index, "X-Foo-Bar"),
        "id": context.get_request_id(index),
        "batch": len(context.request_ids),
    }


def parts(row):
    """The parts of a row; what an envelope has taken out of it is all there is."""
    return row if isinstance(row, dict) else {"unwrapped": row}


def plain(value):
    return bytes(value).decode("latin-1") if isinstance(value, (bytes, bytearray)) else value
