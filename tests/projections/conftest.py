"""Lets the tests of this folder import ``story``, which builds the ledgers that they fold."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
