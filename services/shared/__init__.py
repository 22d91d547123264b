"""What the services share: the wire codec, positions and LSNs, the keyspace in Redis, the event log, the runtime."""
