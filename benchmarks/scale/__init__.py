"""How cost grows: with entries, templates, tags, clients, relations, and the rate of writes."""
