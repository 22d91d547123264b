"""The cache as one proxy worker sees it: entries, L1, L2, flights, and the clock that decides what may be served."""
