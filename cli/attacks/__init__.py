"""A catalogue of tampers, each made the way a real attacker would, and judged by the verifier."""

from cli.attacks.bench import Bench, Result, run_all

__all__ = ["Bench", "Result", "run_all"]
