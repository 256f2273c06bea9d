"""What one would write by hand: asyncio streams on uvloop, a length and a pickle per item."""

import asyncio
import pickle
import struct
from typing import Any

import uvloop

from bench.peers import program

LENGTH = struct.Struct("<I")


def main() -> None:
    options = program.parser().parse_args()
    uvloop.run(work(options.connect) if options.connect else serve(options.work))


async def send(writer: asyncio.StreamWriter, item: object) -> None:
    payload = pickle.dumps(item, protocol=pickle.HIGHEST_PROTOCOL)
    writer.write(LENGTH.pack(len(payload)) + payload)
    await writer.drain()


async def receive(reader: asyncio.StreamReader) -> Any:
    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    return pickle.loads(await reader.readexactly(length))


async def serve(work: str) -> None:
    connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    connected = asyncio.get_running_loop().create_future()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set_result((reader, writer))

    server = await asyncio.start_server(accept, program.LOCALHOST, 0)
    port = server.sockets[0].getsockname()[1]
    with program.workers(1, str(port)):
        reader, writer = await connected

        async def send_all(item: str, count: int) -> None:
            for _ in range(count):
                await send(writer, item)

        async def there(count: int, size: int) -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(send_all(program.item(size), count))
                for _ in range(count):
                    await receive(reader)

        await program.serve_async({"there": there}, work)


async def work(port: str) -> None:
    reader, writer = await asyncio.open_connection(program.LOCALHOST, int(port))
    while True:
        await send(writer, await receive(reader))


if __name__ == "__main__":
    main()
