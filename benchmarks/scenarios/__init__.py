"""The scenarios of the suite, in the order of their run: each is a module with a `Scenario` in it."""
