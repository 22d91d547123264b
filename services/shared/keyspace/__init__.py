"""The keyspace: what stands in Redis for one cache, and the scripts that alone may change it."""
