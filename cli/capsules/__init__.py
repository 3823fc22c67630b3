"""Capsules as files on the command line: validate, compare, calibrate, judge, report."""
