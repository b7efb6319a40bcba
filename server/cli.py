"""The `numserve` command: TorchServe's flags on the bare command, and verbs over the same code.

Whatever is heavy is imported by the command that needs it: `--help` must be quick.
"""

from __future__ import annotations

import json
import mimetypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import click

from .. import __version__
from . import client, launch, lifecycle
from .properties import InvalidConfiguration

F = TypeVar("F", bound=Callable[..., Any])

LISTENERS = ("inference", "management", "metrics", "grpc_inference", "grpc_management")
TOKEN = "NUMSERVE_TOKEN"
"""The variable with the token that the commands ask the server with."""

START_OPTIONS = [
    click.option("--model-store", metavar="DIR", help="Folder of the archives."),
    click.option("--models", metavar="NAME=FILE...", multiple=True, help="Archives to serve; several, or `all`."),
    click.option("--ts-config", metavar="FILE", help="Configuration file (config.properties)."),
    click.option("--foreground", is_flag=True, help="Stay attached to the terminal; logs go there."),
    click.option("--enable-model-api", is_flag=True, help="Allow registering and unregistering over HTTP."),
    click.option(
        "--disable-token-auth", "--dt", is_flag=True, help="No key file; open on purpose, also to other machines."
    ),
    click.option("--no-config-snapshots", "--ncs", is_flag=True, help="Neither write nor restore snapshots."),
    click.option("--workflow-store", metavar="DIR", help="Folder of the workflows' archives, if not --model-store."),
    click.option("--log-config", metavar="FILE", help="Logging configuration, YAML or JSON."),
    click.option("--cpp-log-config", metavar="FILE", help="Accepted; there is no C++ backend."),
    click.option("--plugins-path", "--ppath", metavar="PATH", help="Accepted; there are no Java plug-ins."),
    click.option("--detached", is_flag=True, hidden=True),
]


class Commands(click.Group):
    """A group whose `--models` takes all the values that follow it, as TorchServe's does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with every value of --models under a --models of its own."""
        return super().parse_args(ctx, spread(args))


def spread(arguments: list[str]) -> list[str]:
    """`--models a b` → `--models a --models b`."""
    spread: list[str] = []
    inside = False
    for argument in arguments:
        if argument.startswith("-"):
            inside = argument == "--models" or argument.startswith("--models=")
        elif inside and spread[-1] != "--models":
            spread.append("--models")
        spread.append(argument)
    return spread


def start_options(command: F) -> F:
    """Give a command the options of a start."""
    for option in reversed(START_OPTIONS):
        command = option(command)
    return command


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--start", is_flag=True, help="Start the server (what happens without a command, too).")
@click.option("--stop", is_flag=True, help="Stop the server.")
@click.option("-v", "--version", is_flag=True, help="Show the version.")
@start_options
@click.pass_context
def cli(ctx: click.Context, /, start: bool, stop: bool, version: bool, **options: Any) -> None:
    """Serve models over HTTP. Takes TorchServe's flags; or say it with a command."""
    if ctx.invoked_subcommand is not None:
        if start or stop or version or any(options.values()):
            raise click.UsageError(f"give options after the command: numserve {ctx.invoked_subcommand} ...")
        return
    if start + stop + version > 1:
        raise click.UsageError("--start, --stop and --version exclude each other")
    if version:
        click.echo(f"numserve Version is {__version__}")
    elif stop:
        launch.stop(silent=options["foreground"])
    else:
        launch.start(options)


@cli.command("start")
@start_options
def start_command(**options: Any) -> None:
    """Start the server and wait until its models are there."""
    launch.start(options)


@cli.command("stop")
def stop_command() -> None:
    """Stop the server and wait until it is gone."""
    launch.stop()


@cli.command("status")
@click.option("--json", "as_json", is_flag=True, help="For machines: the process and the addresses.")
@click.option("--quiet", is_flag=True, help="Say nothing; exit with 1 unless /ping is healthy.")
def status_command(as_json: bool, quiet: bool) -> None:
    """Show whether the server runs, where, and how its models are."""
    state = _running()
    if quiet:
        status, _ = client.ask(_place(state, "inference"), "GET", "/ping")
        raise SystemExit(status != 200)
    if as_json:
        addresses = {name: getattr(state, name) for name in LISTENERS}
        click.echo(json.dumps({"pid": state.pid, "addresses": addresses, "logs": state.logs}, indent=2))
        return
    health = client.ask_json(_place(state, "management"), "/models?limit=100")
    click.echo(f"running, pid {state.pid}")
    for name in (*LISTENERS, "logs"):
        click.echo(f"  {name.replace('_', ' '):<15} {getattr(state, name) or '-'}")
    for model in health["models"]:
        _show_model(_place(state, "management"), model["modelName"])


@cli.command("config")
@start_options
@click.option("--origin", is_flag=True, help="Also tell where each value comes from.")
def config_command(origin: bool, **options: Any) -> None:
    """Show the configuration that a start with the same options would have, in the form of a configuration file."""
    from .effective import as_lines

    settings = launch.effective(options)
    for line in as_lines(settings, origin):
        click.echo(line)
    for warning in settings.warnings:
        click.echo(warning, err=True)


@cli.command("doctor")
@click.argument("path", metavar="STORE_OR_CONFIG", type=click.Path(exists=True, path_type=Path))
@click.option("--static", is_flag=True, help="Load no model: the code in the archives is not run.")
def doctor_command(path: Path, static: bool) -> None:
    """Read a TorchServe installation, and say what works here, what does not, and why.

    STORE_OR_CONFIG is a config.properties, a model store, or one archive. Each model is loaded once, in a process of
    its own. The exit code is 1 where something fails.
    """
    from .doctor import examine

    failed = 0
    for finding in examine(path, load=not static):
        click.echo(str(finding))
        failed += finding.mark == "fails"
    raise SystemExit(bool(failed))


@cli.command("models")
@click.option("--url", metavar="URL", help="Management address, when it is not this machine's server.")
def models_command(url: str | None) -> None:
    """List the models and the state of each version."""
    place = _at(url) if url else _place(_running(), "management")
    token: str | None = "0"
    while token is not None:
        page = client.ask_json(place, f"/models?next_page_token={token}")
        for model in page["models"]:
            _show_model(place, model["modelName"])
        token = page.get("nextPageToken") if page["models"] else None


@cli.command("predict")
@click.argument("model")
@click.argument("file")
@click.option("--version", metavar="VERSION", help="Version of the model, instead of the default one.")
@click.option("--content-type", metavar="TYPE", help="Media type of FILE, instead of what its name says.")
@click.option("--url", metavar="URL", help="Inference address, when it is not this machine's server.")
def predict_command(model: str, file: str, version: str | None, content_type: str | None, url: str | None) -> None:
    """Send FILE (- for standard input) to MODEL and print the answer."""
    place = _at(url) if url else _place(_running(), "inference")
    body = sys.stdin.buffer.read() if file == "-" else _read(file)
    path = f"/predictions/{quote(model, safe='')}" + (f"/{quote(version, safe='')}" if version else "")
    status, answer = client.ask(place, "POST", path, body, content_type or mimetypes.guess_type(file)[0])
    click.echo(answer.rstrip(b"\n"), err=status >= 400)
    if status >= 400:
        raise SystemExit(1)


@cli.command("convert")
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option("--network", metavar="NAME", help="One of the engine's networks, whose weights IN holds.")
@click.option(
    "--input",
    "--input-shape",
    "inputs",
    metavar="SHAPE",
    multiple=True,
    help="An input's shape without the batch, such as 3,224,224 or 128:int64.",
)
@click.option("--example", metavar="FILE", help="Inputs: a .npy or .npz file, or tensors.")
@click.option("-f", "--force", is_flag=True, help="Overwrite OUT where it is there.")
def convert_command(source: str, target: str, **options: Any) -> None:
    """Write the weights or the program in IN as OUT, in the form that OUT's extension says.

    .pth (checkpoint) and .safetensors are weights; .pt (TorchScript), .onnx and .graph (numserve's own) are programs
    with their weights. IN may be torch.export's .pt2 too.
    """
    from . import converting  # brings the engine, which no other command does

    converting.convert(source, target, **options)


@cli.command("profile")
@click.argument("model")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Rows of a run.")
@click.option("--executor", metavar="NAME", help="native, numpy or auto, instead of what the model's YAML says.")
@click.option(
    "--threads", type=click.IntRange(1), help="Threads of a run, instead of what the model's YAML says, or 1."
)
@click.option("--exact", is_flag=True, help="Only algorithms that round as direct ones do.")
@click.option("--input", metavar="SHAPE", multiple=True, help="An input's shape without the batch, such as 3,224,224.")
@click.option("--rounds", type=click.IntRange(1), default=10, show_default=True, help="Runs to measure.")
@click.option("--html", metavar="FILE", help="Write a page with the graph there.")
def profile_command(model: str, **flags: Any) -> None:
    """Show the steps of MODEL's run: algorithms, times, and how far they are from what the machine could do.

    MODEL is an archive, a model of the running server, or one of the engine's own, such as resnet18. The code in an
    archive is run.
    """
    from . import profiling  # unpacks archives, which no other command does

    raise SystemExit(profiling.profile(model, _as_flags(flags)))


@cli.command("bench")
@click.argument("target", metavar="MODEL_OR_URL")
@click.option("--model-store", metavar="DIR", help="Folder of the archive, where MODEL is a name in it.")
@click.option("--workers", type=click.IntRange(1), help="Workers of MODEL in a server of its own.")
@click.option("--ts-config", metavar="FILE", help="Configuration of that server; its addresses do not count.")
@click.option("--protocol", type=click.Choice(["torchserve", "oip"]), default="torchserve", help="The route to ask.")
@click.option("--concurrency", metavar="N,...", default="", help="Clients of a closed loop; 1,8,64 without --rate.")
@click.option("--rate", metavar="N,...", default="", help="Requests a second of an open loop.")
@click.option(
    "--arrivals",
    type=click.Choice(["poisson", "constant"]),
    default="poisson",
    show_default=True,
    help="How requests of an open loop come.",
)
@click.option(
    "--connections", type=click.IntRange(1), default=1000, show_default=True, help="Of an open loop, at most."
)
@click.option("--seconds", type=click.FloatRange(0.05), help="Length of a point; 10 without --requests.")
@click.option("--requests", type=click.IntRange(1), help="Requests of a point, at most.")
@click.option("--warmup", type=click.FloatRange(0), default=1.0, show_default=True, help="Seconds before each point.")
@click.option("--timeout", type=click.FloatRange(0.05), default=30.0, show_default=True, help="Of the last answers.")
@click.option("--data", metavar="FILE", multiple=True, help="A body; several take turns.")
@click.option("--size", type=click.IntRange(0), default=1000, show_default=True, help="Bytes of a body without --data.")
@click.option("--content-type", metavar="TYPE", help="Media type of the bodies, instead of what FILE's name says.")
@click.option("--metrics", metavar="URL", help="Metrics address of the server at URL.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the Poisson arrivals.")
@click.option("--json", metavar="FILE", help="Write all figures there, for machines.")
@click.option("--html", metavar="FILE", help="Write a page with the curves there.")
@click.option("--allow-errors", is_flag=True, help="Exit with 0 although requests failed.")
def bench_command(target: str, **options: Any) -> None:
    """Measure throughput and latency of MODEL_OR_URL under load.

    An archive, or a model in --model-store, is served for that on loopback by a server of its own; another name is a
    model of the running server; a URL is the prediction route of any server. The exit code is 1 where requests failed.
    """
    from .bench import command  # brings psutil and the load generator, which no other command does

    raise SystemExit(command.run(target, options))


def _as_flags(options: dict[str, Any]) -> list[str]:
    """Options as the arguments that say the same."""
    flags: list[str] = []
    for name, value in options.items():
        if value is True:
            flags.append(f"--{name}")
        elif value not in (None, False):
            flags += [f"--{name}={each}" for each in (value if isinstance(value, tuple) else (value,))]
    return flags


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise client.Refused(f"{file} cannot be read: {error.strerror}") from error


def _show_model(place: client.Place, name: str) -> None:
    for version in client.ask_json(place, f"/models/{quote(name, safe='')}/all"):
        ready = sum(worker["status"] == "READY" for worker in version["workers"])
        line = f"  {name} {version['modelVersion']}: {version['state']}, {ready}/{version['minWorkers']} workers"
        click.echo(line + (f" ({version['reason']})" if version.get("reason") else ""))


def _place(state: lifecycle.State, listener: str) -> client.Place:
    """A listener of this machine's server, with the token that opens it."""
    return client.place_of(state, listener, os.environ.get(TOKEN))


def _at(url: str) -> client.Place:
    return client.Place(url, os.environ.get(TOKEN))


def _running() -> lifecycle.State:
    folder = lifecycle.temp_dir(os.environ)
    state = lifecycle.running(folder)
    if state is None:
        starting = lifecycle.running_pid(folder) is not None
        raise client.Refused("numserve is starting; ask again." if starting else "numserve is not currently running.")
    return state


def main() -> None:
    """The console script: the commands, with expected failures told in one line."""
    try:
        cli(prog_name="numserve")
    except InvalidConfiguration as error:
        click.echo(str(error))
        raise SystemExit(1) from None
    except client.Refused as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
