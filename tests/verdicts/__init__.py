"""An oracle for verdicts over large corpora: what Postgres says that a statement depends on, against what we say.

`statements` cuts them from Postgres's own regression files, `orm_corpus.sql` holds what object-relational mappers send,
`applications_corpus.sql` what applications ask beyond that, `tests/integration/sql_corpus.py` makes more.
`dependencies` asks Postgres, `findings` compares, `suite` runs it all.
"""
