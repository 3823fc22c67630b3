"""The ``ledger`` command: thin commands over the packages beside this one."""

VERSION = "0.1.0"
"""What ``--version`` prints; asking ``importlib.metadata`` would cost more than a command does."""
