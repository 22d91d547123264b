"""The Postgres frontend/backend protocol 3.0 as pure functions: bytes in, values out, and back.

Nothing here owns a socket, a clock or a loop. Reading order: `errors` (what can go wrong), `fields` (bounds-checked
integers and strings), `framing` (messages out of a byte stream), `startup` (the packets before the first message),
`frontend` and `backend` (one value, one decoder and one encoder per message).

Two rules hold throughout. *Lossless*: what a decoder accepts, `encode()` writes back byte for byte. *Guarded*:
hostile bytes raise `ProtocolViolation` (or one of its subclasses) and nothing else, and no length is believed before
it is checked.

Strings belong to two worlds. What the application wrote (SQL, statement and portal names, values) is `bytes`, because
its encoding is the session's `client_encoding`. What the protocol itself defines (parameter names, command tags,
error fields) is `str`, decoded by `fields.to_text`, which is lossless for any bytes.
"""
