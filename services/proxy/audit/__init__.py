"""The auditor: would the cache have said what Postgres says?"""
