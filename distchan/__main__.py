"""``python -m distchan`` tells what is installed; with arguments it is the command ``distchan``."""

import sys

from distchan._cli import main

if __name__ == "__main__":
    sys.exit(main())
