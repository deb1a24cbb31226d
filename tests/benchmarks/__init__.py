"""Measurements of the real command on this machine: `python -m tests.benchmarks`. They print and write figures and judge nothing."""
