"""A small project of Django: its settings, its models and a view that answers in a transaction of its own."""
