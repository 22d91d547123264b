"""Which templates are worth caching: measured, decided, shown."""
