"""multiprocessing.Queue: one for the items, one for the results."""

import multiprocessing
from typing import Any

from bench.peers import program


def main() -> None:
    options = program.parser().parse_args()
    context = multiprocessing.get_context("spawn")
    items: Any = context.Queue()
    results: Any = context.Queue()

    def there(count: int, size: int) -> None:
        item = program.item(size)
        for _ in range(count):
            items.put(item)
        for _ in range(count):
            results.get()

    worker = context.Process(target=echo, args=(items, results), daemon=True)
    worker.start()
    results.get()  # its greeting
    try:
        program.serve({"there": there}, options.work)
    finally:
        worker.terminate()
        worker.join()


def echo(items: Any, results: Any) -> None:
    results.put("")
    while True:
        results.put(items.get())


if __name__ == "__main__":
    main()
