"""pyzmq, PUSH and PULL sockets in blocking programs, msgspec on both ends.

No high-water mark, and all items are sent before the first result is received: a second thread
for sending would cost more in switches between the threads than it gains.

--no-copies   hand buffers over without copying them, which pays for large items only
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import zmq

from bench.peers import program


def main() -> None:
    parser = program.parser()
    parser.add_argument("--no-copies", action="store_true")
    options = parser.parse_args()
    with zmq.Context() as context:
        push, pull = context.socket(zmq.PUSH), context.socket(zmq.PULL)
        with push, pull:
            for socket in push, pull:
                socket.set_hwm(0)
                socket.linger = 0
            if options.connect:
                work(push, pull, options)
            else:
                serve(push, pull, options)


def ways(
    push: zmq.Socket[bytes], pull: zmq.Socket[bytes], no_copies: bool
) -> tuple[Callable[[bytes], object], Callable[[], Any]]:
    """How to send, and how to receive."""
    if not no_copies:
        return push.send, pull.recv
    return partial(push.send, copy=False), lambda: pull.recv(copy=False).buffer


def serve(push: zmq.Socket[bytes], pull: zmq.Socket[bytes], options: argparse.Namespace) -> None:
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(str).decode
    send, receive = ways(push, pull, options.no_copies)

    def there(count: int, size: int) -> None:
        item = program.item(size)
        for _ in range(count):
            send(encode(item))
        for _ in range(count):
            decode(receive())

    def one_way(count: int, size: int) -> None:
        item = program.item(size)
        for _ in range(count):
            send(encode(item))
        send(encode(program.LAST))
        program.check(int(decode(receive())), count)

    def round_trips(count: int, size: int) -> None:
        item = program.item(size)
        for _ in range(count):
            send(encode(item))
            decode(receive())

    addresses = []
    for socket in push, pull:
        socket.bind(f"tcp://{program.LOCALHOST}:*")
        addresses.append(socket.getsockopt_string(zmq.LAST_ENDPOINT))
    with program.workers(options.workers, ",".join(addresses)):
        for _ in range(options.workers):
            receive()  # its greeting
        program.serve(
            {"there": there, "one-way": one_way, "round-trips": round_trips}, options.work
        )


def work(push: zmq.Socket[bytes], pull: zmq.Socket[bytes], options: argparse.Namespace) -> None:
    for socket, address in zip((pull, push), options.connect.split(","), strict=True):
        socket.connect(address)
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(str).decode
    send, receive = ways(push, pull, options.no_copies)
    send(b"")
    if options.work != "one-way":
        while True:
            send(encode(decode(receive())))
    seen = 0
    while True:
        item = decode(receive())
        if item == program.LAST:
            send(encode(str(seen)))
            seen = 0
        else:
            seen += 1


if __name__ == "__main__":
    main()
