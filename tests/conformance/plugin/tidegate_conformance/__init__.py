"""What runs inside a suite, in an environment that knows nothing of Tidegate: it imports nothing of it."""
