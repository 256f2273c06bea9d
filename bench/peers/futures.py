"""concurrent.futures: map() over a ProcessPoolExecutor; --chunks is its chunksize."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from bench.peers import program


def main() -> None:
    parser = program.parser()
    parser.add_argument("--chunks", type=int, default=1)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=context) as executor:

        def there(count: int, size: int) -> None:
            # Of the same object again and again, pickle would send a chunk only one copy.
            items = (program.item(size) for _ in range(count))
            for _ in executor.map(same, items, chunksize=options.chunks):
                pass

        there(1, 32)  # starts the workers
        program.serve({"there": there}, options.work)


def same(item: str) -> str:
    return item


if __name__ == "__main__":
    main()
