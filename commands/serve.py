"""Serve the trained model: `python -m commands.serve [--port 8000] [--package models/classifier | --rev v1.0.0]`.

Needs no torch, and DVC for --rev alone, so that a container can do without them.
"""

import os

# Before numpy is imported: threads of OpenBLAS spin for a while after each product, on the network's cores. Without
# these and ONNX Runtime's, one client's image costs 35 instead of 90 ms of processor time (a ResNet-50 at 128 pixels,
# two busy AMD EPYC cores, 2026-11-27).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from transfer.deployment.app import make_app
from transfer.deployment.limits import Limits
from transfer.deployment.predictor import load_predictor
from transfer.runtime.errors import DataError, PipelineError

LONGEST_END_S = 30


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be at least 1")
    return number


def _time(text: str) -> float:
    if not 0 <= (number := float(text)) < 1000:
        raise argparse.ArgumentTypeError(f"{text}: must be from 0 to 1000")
    return number


def _check_log(path: Path) -> None:
    """Raise DataError if answers could not be added to the file."""
    try:
        path.open("a", encoding="utf-8").close()
    except OSError as error:
        raise DataError(
            f"--log {path}: {error.strerror}; name a file that can be written, in a folder that is there"
        ) from None


def _listening(host: str, port: int) -> socket.socket:
    """A socket at the address. Raises DataError if that cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"--host {host} --port {port}: {reason}; name others") from None


def page_of(host: str, port: int) -> str:
    """Where a browser on this machine finds the page; 0.0.0.0, :: and nothing stand for all of its addresses."""
    name = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _application(options: argparse.Namespace) -> FastAPI:
    limits = Limits(batch=options.batch, wait_s=options.wait_ms / 1000)
    if options.rev is None:
        return make_app(load_predictor(options.package, options.network), options.package, limits, options.log)
    try:
        from commands.packages import fetched_package  # by DVC
    except ImportError:
        raise DataError("--rev needs DVC and a clone of the project; name a folder with --package instead") from None
    with tempfile.TemporaryDirectory() as keep:  # the application reads everything at its start
        folder = fetched_package(options.rev, Path(keep))
        return make_app(load_predictor(folder, options.network), folder, limits, options.log)


def main(options: argparse.Namespace) -> int:
    if options.log:
        _check_log(options.log)
    app = _application(options)
    with _listening(options.host, options.port) as listening, suppress(KeyboardInterrupt):
        print(f"{page_of(options.host, listening.getsockname()[1])} is the page; Ctrl-C ends it", flush=True)
        # On SIGTERM uvicorn takes no new connection and answers what it has.
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=LONGEST_END_S, server_header=False)
        uvicorn.Server(config).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m commands.serve", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s, this machine)")
    parser.add_argument("--port", type=int, default=8000, help="port (default %(default)s)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--rev", help="the model of an experiment, tag or commit, such as classifier@v1.0.0")
    source.add_argument("--package", type=Path, default=Path("models/classifier"), help="folder (default %(default)s)")
    parser.add_argument("--network", help="file in it to run, such as model_int8.onnx (default: model.onnx)")
    parser.add_argument("--batch", type=_count, default=Limits.batch, help="most images a run (default %(default)s)")
    parser.add_argument("--wait-ms", type=_time, default=1000 * Limits.wait_s, help="for them (default %(default)s)")
    parser.add_argument("--log", type=Path, help="file to which each answer is added, without its picture")
    try:
        sys.exit(main(parser.parse_args()))
    except PipelineError as error:
        sys.exit("error: " + " ".join(str(error).split()))
    except KeyboardInterrupt:  # before it serves
        sys.exit(128 + signal.SIGINT)
