"""`python -m inrvis`."""

from inrvis.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
