"""nats-py with a nats-server of its own: a queue group of workers, msgspec on both ends.

Core NATS: at most once. The pending limits are off, since a subscription drops what exceeds them.
Callbacks, since the iterator over a subscription starts a task for each message.
"""

import asyncio
import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import nats
import uvloop
from nats.aio.msg import Msg

from bench.peers import program


def main() -> None:
    options = program.parser().parse_args()
    if options.connect:
        uvloop.run(work(options.connect))
    else:
        with broker() as address:
            uvloop.run(serve(address, options.workers, options.work))


@contextlib.contextmanager
def broker() -> Iterator[str]:
    """The address of a nats-server on a free port."""
    if shutil.which("nats-server") is None:
        sys.exit("nats-server is not on the PATH")
    process = subprocess.Popen(
        ["nats-server", "--addr", program.LOCALHOST, "--port", "-1"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"client connections on (\S+)", line):
                yield f"nats://{found[1]}"
                break
    finally:
        process.terminate()
        process.wait()


async def serve(address: str, workers: int, work: str) -> None:
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(str).decode
    loop = asyncio.get_running_loop()
    missing = workers  # the greetings come first
    complete = loop.create_future()

    async def take(message: Msg) -> None:
        nonlocal missing
        decode(message.data)
        missing -= 1
        if not missing:
            complete.set_result(None)

    async def there(count: int, size: int) -> None:
        nonlocal missing, complete
        missing, complete = count, loop.create_future()
        item = program.item(size)
        for _ in range(count):
            await client.publish("items", encode(item))
        await complete

    client = await nats.connect(address)
    await client.subscribe("results", cb=take, pending_msgs_limit=0, pending_bytes_limit=0)
    with program.workers(workers, address):
        await complete
        await program.serve_async({"there": there}, work)


async def work(address: str) -> None:
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(str).decode

    async def echo(message: Msg) -> None:
        await client.publish("results", encode(decode(message.data)))

    client = await nats.connect(address)
    await client.subscribe(
        "items", queue="workers", cb=echo, pending_msgs_limit=0, pending_bytes_limit=0
    )
    await client.publish("results", encode(""))
    await asyncio.get_running_loop().create_future()  # until the server ends this process


if __name__ == "__main__":
    main()
