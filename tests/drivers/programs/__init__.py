"""Programs of other people's drivers: each does the scenarios (`tests/drivers/scenarios.py`) in its driver's usual way.

A program finds the database in the environment variable DATABASE_URL, says on its first line what it is
(`{"driver": …, "version": …, "functions": […]}`), then reads one JSON line per call, `{"run": "row", "with": [7]}`, and
answers each with one: `{"answer": …}`, or `{"error": {…}}` when the database refused, or `{"crash": "…"}`. It keeps its
connections from one call to the next, as an application does.
"""
