"""Programs with blocking calls that tests start as processes: ``sync_programs.py NAME ADDRESS``."""

import atexit
import contextlib
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

from distchan import EndOfChannel, WouldBlock, sync


def echo(address: str) -> None:
    """A worker that sends back what it gets."""
    out, in_ = sync.Channel(int), sync.Channel(int)
    with sync.Client(address, out, in_):
        for item in in_:
            out.send(item)
        out.close()


def serve(address: str) -> None:
    """A server that deals numbers, and prints the sum of what comes back."""
    out, in_ = sync.Channel(int), sync.Channel(int)
    with sync.Server(address, out, in_) as server:
        print(server.address, flush=True)

        def feed() -> None:
            out.send_many(range(1000))
            out.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        print(sum(in_), flush=True)
        feeder.join()


def compute(address: str) -> None:
    """A worker that, for each item, holds the interpreter's lock for longer than any timeout."""
    out, in_ = sync.Channel(int), sync.Channel(int)
    with sync.Client(address, out, in_, heartbeat=0.1):
        for item in in_:
            sum(range(item))  # in C, all of it
            out.send(item)


def wait(address: str) -> None:
    """Waits for an item that never comes, until Ctrl-C."""
    in_ = sync.Channel(int)
    with sync.Client(address, None, in_):
        try:
            print("waiting", flush=True)
            in_.receive()
        except KeyboardInterrupt:
            print("interrupted", flush=True)


class Call:
    """Of the main thread: interruptions come in the midst of it only, not between the lines of the
    test itself. Made when there is a handler of SIGINT."""

    def __init__(self) -> None:
        self._goes_on = False
        self._original: Any = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._goes_on:
            self._goes_on = False
            self._original(number, frame)

    def __enter__(self) -> None:
        self._goes_on = True

    def __exit__(self, *_: object) -> None:
        self._goes_on = False


def storm(address: str) -> None:
    """Is interrupted again and again, anywhere; prints figures of its channel."""
    channel = sync.Channel(int, 1)
    call = Call()

    def disturb() -> None:
        for number in range(300):
            os.kill(os.getpid(), signal.SIGINT)
            channel.send(number)
        channel.close()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    while True:
        try:
            with call:
                channel.receive()
        except KeyboardInterrupt:
            continue
        except EndOfChannel:
            break
    disturber.join()
    figures = channel.statistics()
    print(figures.sent, figures.received, figures.waiting_receivers)


class Alarm(Exception):
    pass


def alarms(address: str) -> None:
    """A signal handler of its own raises wherever it likes; then another thread goes on."""

    def on_alarm(number: int, frame: FrameType | None) -> None:
        raise Alarm

    signal.signal(signal.SIGALRM, on_alarm)
    channel = sync.Channel(int, 1)
    for delay in range(5000):
        try:
            signal.setitimer(signal.ITIMER_REAL, (10 + delay % 100) * 1e-6)
            while True:
                channel.statistics()
                with contextlib.suppress(WouldBlock):
                    channel.send_nowait(1)
        except Alarm:
            pass
    threading.Thread(target=lambda: print(len(channel))).start()


def forget(address: str) -> None:
    """Ends without closing anything."""
    client = sync.Client(address, sync.Channel(int), sync.Channel(int))
    client.__enter__()
    threading.Thread(target=sync.Channel(int).receive, daemon=True).start()
    print("done", flush=True)


def tidy(address: str) -> None:
    """Closes what it has when Python ends, as it has asked for before it had anything."""

    def close() -> None:
        server.close()
        print("closed", flush=True)

    atexit.register(close)
    server = sync.Server("localhost:0", sync.Channel(int), sync.Channel(int))
    server.__enter__()


def too_late(address: str) -> None:
    """Has nothing left to wait for."""
    channel = sync.Channel(int)
    sync._runtime._stop()
    try:
        channel.receive()
    except RuntimeError as error:
        print(error)
    daemon = threading.Thread(target=channel.receive, daemon=True)
    daemon.start()
    daemon.join(0.2)
    print(daemon.is_alive())


def submits(address: str) -> None:
    """Is interrupted again and again as it submits calls, with which nothing must go wrong."""
    executor = sync.Executor(address)
    call = Call()
    interruptions = 0
    signal.setitimer(signal.ITIMER_REAL, 1e-3, 1e-3)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    while interruptions < 300:
        try:
            with call:
                executor.submit(abs, -1)
        except KeyboardInterrupt:
            interruptions += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    executor.shutdown(cancel_futures=True)
    print(interruptions, len(executor._calls))


def elsewhere(address: str) -> None:
    """Its main thread waits, and another one gets a signal."""
    channel = sync.Channel(int)

    def interrupt() -> None:
        while not channel.statistics().waiting_receivers:
            pass
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        channel.receive()
    except KeyboardInterrupt:
        with contextlib.suppress(TimeoutError):
            channel.receive(timeout=0.2)
        print("interrupted once")
    thread.join()


if __name__ == "__main__":
    programs = (
        echo,
        serve,
        compute,
        wait,
        storm,
        alarms,
        forget,
        tidy,
        too_late,
        elsewhere,
        submits,
    )
    {program.__name__: program for program in programs}[sys.argv[1]](sys.argv[2])
