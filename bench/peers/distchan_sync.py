"""distchan.sync: a blocking worker; a server with a thread that sends and one that receives."""

import threading

from bench.peers import program
from distchan import sync


def main() -> None:
    options = program.parser().parse_args()
    if options.connect:
        work(options.connect)
    else:
        serve(options.work)


def serve(work: str) -> None:
    out, in_ = sync.Channel(str), sync.Channel(str)

    def send_all(item: str, count: int) -> None:
        for _ in range(count):
            out.send(item)

    def there(count: int, size: int) -> None:
        sender = threading.Thread(target=send_all, args=(program.item(size), count))
        sender.start()
        for _ in range(count):
            in_.receive()
        sender.join()

    def round_trips(count: int, size: int) -> None:
        item = program.item(size)
        for _ in range(count):
            out.send(item)
            in_.receive()

    with (
        sync.Server(f"{program.LOCALHOST}:0", out, in_) as server,
        program.workers(1, server.address),
    ):
        server.wait_ready()
        program.serve({"there": there, "round-trips": round_trips}, work)
        out.close()


def work(address: str) -> None:
    out, in_ = sync.Channel(str), sync.Channel(str)
    with sync.Client(address, out, in_):
        for item in in_:
            out.send(item)
        out.close()


if __name__ == "__main__":
    main()
