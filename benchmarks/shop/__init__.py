"""A web shop as a load: its tables, a seeded trace of reads and writes, and what each cache makes of the same trace."""
