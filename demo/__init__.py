"""The demonstration: a shop with over a million rows, read through Tidegate while somebody else changes it."""
