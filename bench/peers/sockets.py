"""A bare pair of blocking sockets that hands out a fresh object per item, of a known size.

No framing at all, and no more than one system call per item where the kernel allows it.
"""

import contextlib
import socket
import struct

from bench.peers import program

SIZE = struct.Struct("<Q")


def main() -> None:
    options = program.parser().parse_args()
    if options.connect:
        with contextlib.suppress(EOFError):
            work(int(options.connect))
    else:
        serve(options.work)


def serve(work: str) -> None:
    def one_way(count: int, size: int) -> None:
        item = program.item(size).encode()
        worker.sendall(SIZE.pack(size))
        for _ in range(count):
            worker.sendall(item)
        worker.sendall(program.LAST.encode() * size)
        program.check(SIZE.unpack(receive(worker, SIZE.size))[0], count)

    with socket.create_server((program.LOCALHOST, 0)) as listener:
        port = listener.getsockname()[1]
        with program.workers(1, str(port)):
            worker, _ = listener.accept()
            with worker:
                worker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                program.serve({"one-way": one_way}, work)


def receive(connection: socket.socket, size: int) -> bytearray:
    item = bytearray(size)
    received = connection.recv_into(item)
    if received < size:
        rest = memoryview(item)
        while received < size:
            count = connection.recv_into(rest[received:])
            if not count:
                raise EOFError
            received += count
    return item


def work(port: int) -> None:
    with socket.create_connection((program.LOCALHOST, port)) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            (size,) = SIZE.unpack(receive(server, SIZE.size))
            last = program.LAST.encode() * size
            seen = 0
            while receive(server, size) != last:
                seen += 1
            server.sendall(SIZE.pack(seen))


if __name__ == "__main__":
    main()
