"""zenoh, peer to peer over TCP, nothing dropped, msgspec on both ends; blocking, as pyzmq is.

Every subscriber gets every item, so that there can only be one worker.
"""

import json
import socket
import time

import msgspec
import zenoh

from bench.peers import program

#: Items that a subscriber may have waiting; the library's own threads wait beyond that.
WAITING = 1 << 20


def main() -> None:
    options = program.parser().parse_args()
    if options.connect:
        work(options.connect)
    else:
        serve(options.work)


def session(**settings: object) -> zenoh.Session:
    config = zenoh.Config()
    config.insert_json5("mode", '"peer"')
    config.insert_json5("scouting/multicast/enabled", "false")
    for name, value in settings.items():
        config.insert_json5(f"{name}/endpoints", json.dumps(value))
    return zenoh.open(config)


def publisher(session: zenoh.Session, key: str) -> zenoh.Publisher:
    """One that waits instead of dropping items, and is connected to a subscriber."""
    publisher = session.declare_publisher(key, congestion_control=zenoh.CongestionControl.BLOCK)
    while not publisher.matching_status:
        time.sleep(0.01)
    return publisher


def serve(work: str) -> None:
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(str).decode
    address = f"tcp/{program.LOCALHOST}:{free_port()}"
    with session(listen=[address]) as here:
        results = here.declare_subscriber("results", zenoh.handlers.FifoChannel(WAITING))
        with program.workers(1, address):
            items = publisher(here, "items")

            def there(count: int, size: int) -> None:
                item = program.item(size)
                for _ in range(count):
                    items.put(encode(item))
                for _ in range(count):
                    decode(results.recv().payload.to_bytes())

            results.recv()  # the worker's greeting
            program.serve({"there": there}, work)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind((program.LOCALHOST, 0))
        port: int = listener.getsockname()[1]
        return port


def work(address: str) -> None:
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(str).decode
    with session(connect=[address], listen=[]) as here:
        items = here.declare_subscriber("items", zenoh.handlers.FifoChannel(WAITING))
        results = publisher(here, "results")
        results.put(encode(""))
        for sample in items:
            results.put(encode(decode(sample.payload.to_bytes())))


if __name__ == "__main__":
    main()
