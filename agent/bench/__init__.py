"""Benchmarks behind `parley bench`: they play synthetic callers to real engines and count."""
