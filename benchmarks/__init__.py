"""How fast and how small, each measured against a limit in the same run.

``python -m benchmarks.run`` prints the table; ``docs/benchmarks.md`` explains it.
"""
