"""The proxy: speaks Postgres's wire protocol to both sides, and answers what it can prove fresh."""
