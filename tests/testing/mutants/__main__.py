"""Look whether every mutant is caught, and print or write the kill matrix.

python -m tests.testing.mutants             print it
python -m tests.testing.mutants --write     write it into docs/storage-kit.md
python -m tests.testing.mutants --runs 20   run with 20 seeds, and tell who got away
"""

from __future__ import annotations

import argparse

from tests.testing.mutants.matrix import catching, do_not_shorten, rendered, write_page
from tests.testing.mutants.registry import mutants


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.testing.mutants")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--runs", type=int)
    options = parser.parse_args()
    do_not_shorten()
    if options.runs is not None:
        return run(options.runs)
    if options.write:
        write_page()
    else:
        print(rendered())
    return 0


def run(count: int) -> int:
    """Return how many times a promise did not catch a mutant that it must catch."""
    escapes = 0
    for mutant in mutants():
        for name in mutant.caught_by:
            caught = sum(bool(catching(mutant, [name], seed=seed)) for seed in range(count))
            escapes += count - caught
            print(f"{caught} of {count}: {mutant.name} by {name}", flush=True)
    print(f"{escapes} escapes")
    return min(escapes, 1)


if __name__ == "__main__":
    raise SystemExit(main())
