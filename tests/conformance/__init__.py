"""Other people's tests, run directly against Postgres and through the proxy: nothing may differ.

A suite is run against a Postgres of its own without Tidegate (direct), and against another one with the whole stack in
front of it: cold, and once more through the same proxy (warm). What counts is not whether a test passes but whether it
ends the same way: a test that fails directly has to fail through the proxy. A test that ended otherwise is run again
alone, several times on both sides, before it counts, since a busy machine makes tests fail too. A difference that
stays has to be explained in `known_differences.toml`, in words that a user would accept, or the run fails.

    make conformance                                    everything
    make conformance ARGS='asyncpg --reruns 5'          one suite
    make conformance ARGS='regression --only select join'

This folder holds no tests that pytest collects; docs/conformance.md says how to read what comes out.
"""
