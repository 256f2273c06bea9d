"""pyzmq under asyncio: the same sockets, msgspec on both ends, one task for each direction.

--loop says which event loop: uvloop, or asyncio's own.
"""

import asyncio
import contextlib

import msgspec
import zmq
import zmq.asyncio

from bench.peers import program


def main() -> None:
    parser = program.parser()
    parser.add_argument("--loop", default="uvloop", choices=["uvloop", "asyncio"])
    options = parser.parse_args()
    if options.connect:
        program.run_on(options.loop, work(options.connect.split(",")))
    else:
        program.run_on(options.loop, serve(options.workers, options.work))


@contextlib.contextmanager
def sockets():  # type: ignore[no-untyped-def]  # pyzmq's types of these differ between versions
    with zmq.asyncio.Context() as context:
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        with push, pull:
            for socket in push, pull:
                socket.set_hwm(0)
                socket.linger = 0
            yield push, pull


async def serve(workers: int, work: str) -> None:
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(str).decode

    with sockets() as (push, pull):

        async def send(item: str, count: int) -> None:
            for _ in range(count):
                await push.send(encode(item))

        async def there(count: int, size: int) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(send(program.item(size), count))
                for _ in range(count):
                    decode(await pull.recv())

        addresses = []
        for socket in push, pull:
            socket.bind(f"tcp://{program.LOCALHOST}:*")
            addresses.append(socket.getsockopt_string(zmq.LAST_ENDPOINT))
        with program.workers(workers, ",".join(addresses)):
            for _ in range(workers):
                await pull.recv()  # its greeting
            await program.serve_async({"there": there}, work)


async def work(addresses: list[str]) -> None:
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(str).decode
    with sockets() as (push, pull):
        pull.connect(addresses[0])
        push.connect(addresses[1])
        await push.send(b"")
        while True:
            await push.send(encode(decode(await pull.recv())))


if __name__ == "__main__":
    main()
