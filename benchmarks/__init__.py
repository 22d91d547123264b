"""Measurements: always beside a peer in the same run, interleaved, medians of rounds, answers checked."""
