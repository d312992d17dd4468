"""`python -m studio` is the command `recon`."""

import sys

from studio.cli import main

sys.exit(main())
