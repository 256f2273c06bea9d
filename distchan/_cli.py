"""The command line: ``distchan worker ...``."""

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import distchan
from distchan._cpus import cpus

__all__ = ["main"]

_EXAMPLES = """\
examples:
  distchan worker shop.images:resize localhost:5678
      calls resize(item) in package shop, module images, in as many processes as there are CPUs
  distchan worker shop.images:resize unix:/run/shop.sock --processes 2 --threads 4
      works on eight items at a time
  python -m distchan worker tasks:fetch localhost:5678 --processes 1 --threads 100
      if fetch is an `async def` function: a hundred items at a time in one event loop

  distchan worker shop.images:resize host:5678 --authkey-file key
      on another machine, with a key that it shares with the server
  distchan worker shop.images:resize shop.example:5678 --tls-ca ca.pem
      speaks TLS with a server whose certificate the authority in ca.pem has signed

  distchan worker --executor unix:calls.sock
      calls what a program with distchan.sync.Executor("unix:calls.sock") submits

signals:
  SIGTERM, SIGINT   finish the items in hand, give back the others, leave
  SIGINT, again     stop at once

exit status: 0 the server has no more work; 1 no server, refused, or the connection was lost;
2 wrong usage; 143 left on SIGTERM; 130 on SIGINT
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say (default: those of the process). Returns the exit status.

    Raises SystemExit(2) for wrong usage.
    """
    parser = argparse.ArgumentParser(
        prog="distchan", description="Typed channels between processes. Alone: what is installed."
    )
    worker = parser.add_subparsers(dest="command", title="commands").add_parser(
        "worker",
        help="call a function for each item of a server",
        description="Calls a function for each item of a server, and sends back what it returns. "
        "Its annotations are the types of items and results; an exception is sent back as the "
        "reason why the item failed, with its traceback. A process that crashes is restarted.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    worker.add_argument(
        "function",
        metavar="MODULE:FUNCTION",
        nargs="?",
        help="e.g. package.module:function; not with --executor",
    )
    worker.add_argument("address", metavar="ADDRESS", help="HOST:PORT or unix:PATH")
    worker.add_argument(
        "--executor",
        action="store_true",
        help="call whatever a distchan.sync.Executor on this machine asks for",
    )
    worker.add_argument(
        "--processes", type=_count, default=cpus(), metavar="N", help="default: %(default)s (CPUs)"
    )
    worker.add_argument(
        "--threads",
        type=_count,
        default=1,
        metavar="N",
        help="items at a time in each process; tasks, if it is an async function (default: 1)",
    )
    worker.add_argument(
        "--codec",
        choices=["msgpack", "json", "gob", "raw", "pickle"],
        default="msgpack",
        help="that of the server (default: %(default)s)",
    )
    worker.add_argument(
        "--connect-timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="to go on trying while there is no server (default: 30)",
    )
    worker.add_argument(
        "--authkey-file",
        type=Path,
        metavar="FILE",
        help="the key shared with the server, in a file that only its owner can read; or it is in "
        "the environment variable DISTCHAN_AUTHKEY",
    )
    worker.add_argument(
        "--insecure",
        action="store_true",
        help="do without a key where it is refused to: to another machine, or with pickle on TCP",
    )
    worker.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="of what is written to stderr (default: %(default)s)",
    )
    _add_tls_options(worker.add_argument_group("TLS", "If any of these is given, TLS is spoken."))
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        _tell_what_is_installed()
        return 0
    try:
        return _work(worker, parsed)
    except KeyboardInterrupt:
        return 130


def _add_tls_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tls", action="store_true", help="the server's authority is one that the system trusts"
    )
    group.add_argument(
        "--tls-ca", metavar="FILE", help="certificates of the authorities that sign the server's"
    )
    group.add_argument(
        "--tls-cert", metavar="FILE", help="the own certificate, for a server that wants one"
    )
    group.add_argument(
        "--tls-key", metavar="FILE", help="its private key (default: it is in the same file)"
    )
    group.add_argument(
        "--tls-hostname",
        metavar="NAME",
        help="what the server's certificate is for (default: the host of ADDRESS)",
    )


def _tls_options(parsed: argparse.Namespace) -> dict[str, Any]:
    """Those of a Client, as worker processes take them."""
    files = parsed.tls_ca, parsed.tls_cert, parsed.tls_key
    if not parsed.tls and files == (None, None, None) and parsed.tls_hostname is None:
        return {}
    return {
        "ssl": functools.partial(
            distchan.tls.client_context,
            parsed.tls_ca,
            certfile=parsed.tls_cert,
            keyfile=parsed.tls_key,
        ),
        "server_hostname": parsed.tls_hostname,
    }


def _work(parser: argparse.ArgumentParser, parsed: argparse.Namespace) -> int:
    from distchan._callee import Callee, load
    from distchan._key_file import find_key
    from distchan._remote_calls import EXECUTOR_FUNCTION
    from distchan._security import require_safe_pickle
    from distchan._worker import client_options
    from distchan._workers import Duty, Workers, log_to_stderr
    from distchan.channel import Channel
    from distchan.client import Client

    if os.getcwd() not in sys.path:  # the script `distchan` is somewhere else
        sys.path.insert(0, os.getcwd())
    if (parsed.function is None) != parsed.executor:
        parser.error("either MODULE:FUNCTION or --executor")
    options: dict[str, Any] = {
        "codec": parsed.codec,
        "connect_timeout": parsed.connect_timeout,
        "insecure": parsed.insecure,
        **_tls_options(parsed),
    }
    if parsed.executor:
        parsed.function, options["codec"] = EXECUTOR_FUNCTION, "raw"
    try:
        options["authkey"] = find_key(parsed.authkey_file, os.environ)
        if parsed.executor:
            require_safe_pickle(parsed.address, "client", client_options(options))
        Client(parsed.address, None, Channel(), **client_options(options))
        Callee(load(parsed.function))
    except (ImportError, OSError, TypeError, ValueError, distchan.InsecureConnection) as error:
        parser.error(str(error))
    log_to_stderr(parsed.log_level)
    duty = Duty(parsed.function, parsed.address, parsed.threads, options, parsed.log_level)
    try:
        received = Workers(duty, parsed.processes).run()
    except distchan.DistchanError as error:
        print(f"distchan: {error}", file=sys.stderr)
        return 1
    return 0 if received is None else 128 + received


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {number}")
    return number


def _tell_what_is_installed() -> None:
    loop = "asyncio" if find_spec("uvloop") is None else "uvloop"
    print(f"distchan {distchan.__version__}, backend {distchan.BACKEND}, event loop {loop}")
    print(f"in {Path(distchan.__file__).parent}")
