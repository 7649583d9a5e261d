"""Speed and memory as ratios measured in one run. Prints a table; judges nothing but lost requests.

Usage: bench.py [engine|hub|page|fleet ...] [--requests N] [--rate N] [--seconds S]; all by default.
Absolute figures depend on the machine; the ratios are what to compare between releases.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from figures import Figure, heading


def engine(_: argparse.Namespace) -> Iterator[Figure]:
    """The DAML engine, in this process."""
    from engine import figures

    return figures()


def fleet(options: argparse.Namespace) -> Iterator[Figure]:
    """A fleet on one lab node: its parts are loaded only if they are wanted."""
    from fleet import figures

    return figures(options.requests)


def page(_: argparse.Namespace) -> Iterator[Figure]:
    """The hub's page in a browser."""
    from page import figures

    return figures()


def hub(options: argparse.Namespace) -> Iterator[Figure]:
    """The hub as a process of this machine: it has bounds of its own, so it prints a table of its own."""
    from hub import run

    run(options.rate, options.seconds)
    return iter(())


SECTIONS = {section.__name__: section for section in (engine, hub, page, fleet)}


def main() -> int:
    """Measures the sections that are asked for, one after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("section", nargs="*", help=f"{', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--requests", type=int, default=1000, help="requests per target (default 1000)")
    parser.add_argument(
        "--rate", type=int, default=20_000, help="messages per second to the hub (default 20000)"
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long the hub gets them (default 60)")
    options = parser.parse_args()
    unknown = [name for name in options.section if name not in SECTIONS]
    if unknown:
        parser.error(f"unknown section {unknown[0]!r}: choose from {', '.join(SECTIONS)}")
    print(heading(), flush=True)
    for name in options.section or SECTIONS:
        for figure in SECTIONS[name](options):
            print(figure, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
