"""``python -m cmcr``, the same as ``cmcr``."""

import sys

from cmcr.cli import main

sys.exit(main())
