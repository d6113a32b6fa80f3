"""``make simulate SEEDS=20000``: runs histories and prints the first that breaks a promise."""

import sys

from simulation.search import main

if __name__ == "__main__":
    sys.exit(main())
