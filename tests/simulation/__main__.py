"""`python -m tests.simulation --seeds 200 --start 0`: so many worlds, one after the other; `--verbose` prints their steps."""

import argparse
import sys
import time

from tests.simulation.actors import simulate


def main() -> None:
    """Ends with the first failure, which says its seed."""
    words = argparse.ArgumentParser(prog="python -m tests.simulation")
    words.add_argument("--seeds", type=int, default=200)
    words.add_argument("--start", type=int, default=0)
    words.add_argument("--steps", type=int, default=60)
    words.add_argument("--verbose", action="store_true")
    wanted = words.parse_args()
    begin, steps, events = time.monotonic(), 0, 0
    for seed in range(wanted.start, wanted.start + wanted.seeds):
        world = simulate(seed, wanted.steps)
        steps, events = steps + len(world.steps), events + world.model.size
        if wanted.verbose:
            sys.stdout.write("\n".join(world.steps) + "\n")
    seconds = time.monotonic() - begin
    sys.stdout.write(
        f"{wanted.seeds} seeds from {wanted.start}: {steps} steps, {events} events, {seconds:.0f} s; all held\n"
    )


if __name__ == "__main__":
    main()
