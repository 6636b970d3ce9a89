"""`python -m inrvis`."""

import sys

from inrvis.cli import main

if __name__ == "__main__":
    sys.exit(main())
