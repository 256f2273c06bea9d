"""What one worker process does: it calls a function for each item, and sends what that returns."""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from distchan import _remote_calls, _run, sync
from distchan._callee import Callee
from distchan._signals import Leaving, Signals
from distchan._typecheck import type_name
from distchan.channel import Channel
from distchan.client import Client
from distchan.errors import EndOfChannel, FrameTooLarge
from distchan.sync._flag import LOOK_UP

__all__ = ["client_options", "serve"]

logger = logging.getLogger("distchan")


def client_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a Client, as they are after they have been sent to another process.

    An SSLContext cannot be sent; a function that makes one can.
    """
    made = dict(options)
    if callable(made.get("ssl")):
        made["ssl"] = made["ssl"]()
    return made


def serve(
    callee: Callee,
    address: str,
    *,
    threads: int,
    options: Mapping[str, Any],
    on_joined: Callable[[], object] = lambda: None,
) -> int | None:
    """Work until there is no more work, or a signal comes. Returns its number, or None.

    on_joined: called when the server has accepted us.

    Raises what entering and leaving a Client does, and ConnectionLost.
    """
    work = _Async if callee.is_async else _Blocking
    with Signals(_leave) as signals:
        try:
            work(callee, address, signals, on_joined).run(threads, client_options(options))
        except Leaving:
            pass  # before it had joined
    if signals.number is None:
        logger.info("%s: there is no more work", callee.name)
    else:
        logger.info("%s: left on signal %d", callee.name, signals.number)
    return signals.number


def _leave() -> None:
    raise Leaving


class _Work:
    """What both kinds of functions have in common."""

    def __init__(
        self, callee: Callee, address: str, signals: Signals, on_joined: Callable[[], object]
    ) -> None:
        self._callee = callee
        self._address = address
        self._signals = signals
        self._on_joined = on_joined
        #: Either kind has its own.
        self._in: Any

    def _tell_joined(self) -> None:
        self._on_joined()
        result_type = self._callee.result_type
        logger.info(
            "%s works for %s: %s -> %s",
            self._callee.name,
            self._address,
            type_name(self._callee.item_type),
            type_name(result_type),
        )

    def _finish(self) -> None:
        """A signal has come: what has not been begun goes back to the server."""
        self._in.close()
        logger.info("%s: finishes what it has in hand", self._callee.name)

    def _tell_failed(self, lease: Any, error: Exception) -> None:
        # Not as an exception that is propagating: what is logged are the user's frames.
        logger.error(
            "%s failed over item %s, attempt %s",
            self._callee.name,
            lease.id,
            lease.attempt,
            exc_info=error,
        )

    def _failure(self, error: BaseException) -> RuntimeError:
        # It would take only this thread or task, and would give the item back as if it were fine.
        return RuntimeError(f"{self._callee.name} raised {error!r}")


class _Blocking(_Work):
    """A function, called in threads; the main thread waits for them, and for signals."""

    def run(self, threads: int, options: Mapping[str, Any]) -> None:
        callee = self._callee
        self._in = sync.Channel(callee.item_type)
        self._out = None if callee.result_type is None else sync.Channel(callee.result_type)
        # Of the ends of threads, with their errors, and of None for a signal. Signal handlers may
        # put something into a SimpleQueue whatever they have interrupted.
        events: queue.SimpleQueue[tuple[Exception | None] | None] = queue.SimpleQueue()

        def run() -> None:
            error = None
            try:
                self._loop()
            except Exception as caught:
                error = caught
            events.put((error,))

        with sync.Client(self._address, self._out, self._in, **options):
            self._signals.stop = lambda: events.put(None)
            self._tell_joined()
            for number in range(threads):
                # The second SIGINT ends the process, whatever the function is about.
                threading.Thread(target=run, name=f"{callee.name}-{number}", daemon=True).start()
            running, first_error = threads, None
            while running:
                try:
                    event = events.get(timeout=LOOK_UP)
                except queue.Empty:
                    continue
                if event is None:
                    self._finish()
                else:
                    running -= 1
                    first_error = first_error or event[0]
            if first_error is not None:
                raise first_error

    def _loop(self) -> None:
        while self._signals.number is None:
            lease = self._in.lease()
            received = False
            try:
                with lease as item:
                    received = True
                    self._process(item)
            except Exception as error:
                if received:
                    self._tell_failed(lease, error)
                elif isinstance(error, EndOfChannel):
                    return
                else:
                    raise

    def _process(self, item: Any) -> None:
        try:
            result = self._callee.call(item)
        except Exception:
            raise
        except BaseException as error:  # no signal's, for those come to the main thread
            raise self._failure(error) from error
        if self._out is None:
            return
        try:
            self._out.send(result)
        except FrameTooLarge as error:
            if self._callee.call is not _remote_calls.call:
                raise
            # Its failures are results: it is not made again for the same end.
            self._out.send(_remote_calls.raised(error))


class _Async(_Work):
    """An async function, called in tasks."""

    def run(self, threads: int, options: Mapping[str, Any]) -> None:
        _run.run(self._main(threads, options))

    async def _main(self, tasks: int, options: Mapping[str, Any]) -> None:
        loop, main = asyncio.get_running_loop(), asyncio.current_task()
        assert main is not None
        self._signals.stop = lambda: loop.call_soon_threadsafe(main.cancel)
        callee = self._callee
        self._in = Channel(callee.item_type)
        self._out = None if callee.result_type is None else Channel(callee.result_type)
        try:
            async with Client(self._address, self._out, self._in, **options):
                self._signals.stop = lambda: loop.call_soon_threadsafe(self._finish)
                self._tell_joined()
                loops = [asyncio.create_task(self._loop()) for _ in range(tasks)]
                for error in await asyncio.gather(*loops, return_exceptions=True):
                    if error is not None:
                        raise error
        except asyncio.CancelledError:
            if self._signals.number is None:
                raise
            raise Leaving from None

    async def _loop(self) -> None:
        while self._signals.number is None:
            lease = self._in.lease()
            received = False
            try:
                async with lease as item:
                    received = True
                    await self._process(item)
            except Exception as error:
                if received:
                    self._tell_failed(lease, error)
                elif isinstance(error, EndOfChannel):
                    return
                else:
                    raise

    async def _process(self, item: Any) -> None:
        try:
            result = await self._callee.call(item)
        except (SystemExit, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            raise self._failure(error) from error
        if self._out is not None:
            await self._out.send(result)
