#!lua flags=no-writes
--!include registry_reply
-- REGISTRY: the bucket, its shapes and its followed relations, read together.
return registry_reply()
