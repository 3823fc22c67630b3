"""Lets every test import ``forge``, the hand that writes ledgers without our code."""

import signal
import sys
from pathlib import Path

HERE = Path(__file__).parent
for place in (HERE, HERE.parent):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

# A job that a shell started in the background ignores SIGINT, one under nohup SIGHUP, and so would
# every command that these tests start. With a handler here, children begin with the default again.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)
