"""`tidegate explain`: may a statement be cached, why not, and what evicts its answer."""
