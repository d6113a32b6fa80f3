"""``python -m pushledger``."""

from pushledger.cli import main

if __name__ == "__main__":
    main()
