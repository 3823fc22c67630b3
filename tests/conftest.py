"""Lets every test import ``forge``, the hand that writes ledgers without our code."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
for place in (HERE, HERE.parent):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))
