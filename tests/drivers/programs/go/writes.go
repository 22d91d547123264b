package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	insert  = "INSERT INTO notes VALUES ($1, $2)"
	count   = "SELECT count(*) FROM notes"
	running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(30)%' AND state = 'active'"
)

type executor interface {
	Exec(context ctx, query string, values ...any) (pgconn.CommandTag, error)
}

func execute(on executor, query string, values ...any) int64 {
	tag, err := on.Exec(background, query, values...)
	check(err)
	return tag.RowsAffected()
}

func failing(on executor, query string, values ...any) any {
	_, err := on.Exec(background, query, values...)
	return refused(err)
}

func (p *program) run(command string) { execute(p.conn, command) }

func (p *program) name() any { return value(p.conn, nameOf, 3) }

func (p *program) cleared() { p.run("DELETE FROM notes") }

func (p *program) noted(total int) any {
	return list{value(p.conn, count), value(p.conn, noteOf, total-1)}
}

func (p *program) begin(options pgx.TxOptions) pgx.Tx {
	transaction, err := p.conn.BeginTx(background, options)
	check(err)
	return transaction
}

func (p *program) counts(end func(pgx.Tx) error) any {
	p.cleared()
	transaction := p.begin(pgx.TxOptions{})
	for number := 1; number <= 2; number++ {
		execute(transaction, insert, number, "body")
	}
	inside := value(transaction, count)
	check(end(transaction))
	return list{inside, value(p.conn, count)}
}

func (p *program) readThenWrite() any {
	p.cleared()
	execute(p.conn, insert, 1, "before")
	transaction := p.begin(pgx.TxOptions{})
	seen := list{value(transaction, noteOf, 1)}
	execute(transaction, "UPDATE notes SET body = 'after' WHERE id = $1", 1)
	seen = append(seen, value(transaction, noteOf, 1))
	check(transaction.Commit(background))
	return append(seen, value(p.conn, noteOf, 1))
}

func (p *program) savepoint() any {
	p.cleared()
	transaction := p.begin(pgx.TxOptions{})
	execute(transaction, insert, 1, "body")
	nested, err := transaction.Begin(background)
	check(err)
	told := failing(nested, insert, 1, "body")
	check(nested.Rollback(background))
	execute(transaction, insert, 2, "body")
	check(transaction.Commit(background))
	return list{told, column[int32](p.conn, "SELECT id FROM notes ORDER BY id")}
}

func (p *program) writeWhenReadOnly() any {
	transaction := p.begin(pgx.TxOptions{AccessMode: pgx.ReadOnly})
	value(transaction, nameOf, 3)
	told := failing(transaction, insert, 1, "body")
	check(transaction.Rollback(background))
	return list{told, p.name()}
}

func (p *program) errorInTransaction() any {
	transaction := p.begin(pgx.TxOptions{})
	value(transaction, nameOf, 3)
	seen := list{failing(transaction, "SELECT 1/0"), failing(transaction, nameOf, 3)}
	check(transaction.Rollback(background))
	return append(seen, p.name())
}

func (p *program) errors() any {
	seen := list{}
	for _, query := range []string{"SELECT 1/0", "SELECT * FROM missing", "SELEC 1"} {
		seen = append(seen, failing(p.conn, query))
	}
	seen = append(seen, failing(p.conn, "INSERT INTO kinds (id) VALUES ($1)", 0))
	seen = append(seen, failing(p.conn, "SELECT name FROM kinds WHERE id = $1::text::int", "seven"))
	return append(seen, p.name())
}

func (p *program) writeAndRead(rounds int) any {
	p.cleared()
	seen := list{}
	for range rounds {
		now := list{execute(p.conn, insert, 1, "one"), value(p.conn, noteOf, 1)}
		now = append(now, execute(p.conn, "UPDATE notes SET body = $1 WHERE id = $2", "two", 1), value(p.conn, noteOf, 1))
		now = append(now, execute(p.conn, "DELETE FROM notes WHERE id = $1", 1), value(p.conn, noteOf, 1))
		seen = append(seen, now)
	}
	return seen
}

func (p *program) returning() any {
	p.cleared()
	found, err := p.conn.Query(background, insert+" RETURNING id, body", 5, "made")
	check(err)
	seen, err := pgx.CollectRows(found, func(row pgx.CollectableRow) (list, error) { return row.Values() })
	check(err)
	return seen
}

func (p *program) batch(total int) any {
	p.cleared()
	batch := &pgx.Batch{}
	for number := range total {
		batch.Queue(insert, number, fmt.Sprintf("note %d", number))
	}
	check(p.conn.SendBatch(background, batch).Close())
	return p.noted(total)
}

// results sends a batch, and reads the first column of the first row of those of its queries that are reads.
func (p *program) results(batch *pgx.Batch, isRead func(place int) bool) list {
	sent := p.conn.SendBatch(background, batch)
	seen := list{}
	for place := range batch.Len() {
		if !isRead(place) {
			_, err := sent.Exec()
			check(err)
			continue
		}
		var one string
		check(sent.QueryRow().Scan(&one))
		seen = append(seen, one)
	}
	check(sent.Close())
	return seen
}

func (p *program) pipeline(total int) any {
	batch := &pgx.Batch{}
	for number := range total {
		batch.Queue(nameOf, number+1)
	}
	return p.results(batch, func(int) bool { return true })
}

func (p *program) pipelineOfBoth() any {
	p.cleared()
	batch := &pgx.Batch{}
	batch.Queue(insert, 1, "one")
	batch.Queue(noteOf, 1)
	batch.Queue("UPDATE notes SET body = 'two' WHERE id = $1", 1)
	batch.Queue(noteOf, 1)
	batch.Queue(nameOf, 3)
	return p.results(batch, func(place int) bool { return place%2 == 1 || place == 4 })
}

// pipelineWithAnError uses the pipeline of pgconn, in which each query has a Sync of its own.
func (p *program) pipelineWithAnError() any {
	line := p.conn.PgConn().StartPipeline(background)
	for _, query := range []string{"SELECT name FROM kinds WHERE id = 3", "SELECT 1/0", "SELECT name FROM kinds WHERE id = 4"} {
		line.SendQueryParams(query, nil, nil, nil, nil)
		check(line.Sync())
	}
	seen := list{}
	for range 3 {
		result, err := line.GetResults()
		if err == nil {
			read := result.(*pgconn.ResultReader).Read()
			if err = read.Err; err == nil {
				seen = append(seen, string(read.Rows[0][0]))
			}
		}
		if err != nil {
			seen = append(seen, refused(err))
		}
		_, err = line.GetResults() // what the Sync gives
		check(err)
	}
	check(line.Close())
	return seen
}

func (p *program) severalStatements() any {
	results, err := p.conn.PgConn().Exec(background, "SELECT 1; SELECT name FROM kinds WHERE id = 3; SELECT 2").ReadAll()
	check(err)
	seen := list{}
	for _, result := range results {
		seen = append(seen, list{string(result.Rows[0][0])})
	}
	return seen
}

func (p *program) cursor(size int) any {
	transaction := p.begin(pgx.TxOptions{})
	execute(transaction, "DECLARE in_parts CURSOR FOR SELECT id FROM kinds WHERE id BETWEEN 1 AND 1000 ORDER BY id")
	total, sum := 0, 0
	for {
		part := column[int32](transaction, fmt.Sprintf("FETCH %d FROM in_parts", size))
		if len(part) == 0 {
			break
		}
		for _, one := range part {
			total, sum = total+1, sum+int(one)
		}
	}
	between := value(transaction, nameOf, 3)
	check(transaction.Commit(background))
	return list{total, sum, between}
}

func (p *program) copyIn(total int) any {
	p.cleared()
	source := pgx.CopyFromSlice(total, func(place int) ([]any, error) {
		return []any{int32(place), fmt.Sprintf("note %d", place)}, nil
	})
	_, err := p.conn.CopyFrom(background, pgx.Identifier{"notes"}, []string{"id", "body"}, source)
	check(err)
	return p.noted(total)
}

func (p *program) copyOut(total int) any {
	var text bytes.Buffer
	query := fmt.Sprintf("COPY (SELECT id, name FROM kinds WHERE id BETWEEN 1 AND %d ORDER BY id) TO STDOUT", total)
	_, err := p.conn.PgConn().CopyTo(background, &text, query)
	check(err)
	return text.String()
}

func (p *program) listen(payloads []string) any {
	p.run("LISTEN news")
	other := connected(databaseURL)
	defer other.Close(background)
	heard := list{}
	for _, payload := range payloads {
		execute(other, "SELECT pg_notify('news', $1)", payload)
		limited, stop := context.WithTimeout(background, 10*time.Second)
		told, err := p.conn.WaitForNotification(limited)
		stop()
		check(err)
		heard = append(heard, told.Payload)
	}
	p.run("UNLISTEN news")
	return heard
}

func (p *program) notice() any {
	p.notices = list{}
	p.run("DO $$ BEGIN RAISE NOTICE 'noticed'; END $$")
	return p.notices
}

func (p *program) cancel() any {
	done := make(chan error)
	go func() {
		_, err := p.conn.Exec(background, "SELECT pg_sleep(30)")
		done <- err
	}()
	other := connected(databaseURL)
	defer other.Close(background)
	for value(other, running) == nil {
	}
	check(p.conn.PgConn().CancelRequest(background))
	return list{refused(<-done), p.name()}
}

func (p *program) writes() map[string]function {
	plain := func(run func() any) function { return func([]json.RawMessage) any { return run() } }
	number := func(run func(int) any) function {
		return func(with []json.RawMessage) any { return run(argument[int](with, 0)) }
	}
	return map[string]function{
		"commit":                 plain(func() any { return p.counts(func(t pgx.Tx) error { return t.Commit(background) }) }),
		"rollback":               plain(func() any { return p.counts(func(t pgx.Tx) error { return t.Rollback(background) }) }),
		"read_then_write":        plain(p.readThenWrite),
		"savepoint":              plain(p.savepoint),
		"write_when_read_only":   plain(p.writeWhenReadOnly),
		"error_in_transaction":   plain(p.errorInTransaction),
		"errors":                 plain(p.errors),
		"write_and_read":         number(p.writeAndRead),
		"returning":              plain(p.returning),
		"batch":                  number(p.batch),
		"pipeline":               number(p.pipeline),
		"pipeline_of_both":       plain(p.pipelineOfBoth),
		"pipeline_with_an_error": plain(p.pipelineWithAnError),
		"several_statements":     plain(p.severalStatements),
		"cursor":                 number(p.cursor),
		"copy_in":                number(p.copyIn),
		"copy_out":               number(p.copyOut),
		"listen": func(with []json.RawMessage) any {
			payloads := []string{}
			for place := range with {
				payloads = append(payloads, argument[string](with, place))
			}
			return p.listen(payloads)
		},
		"notice": plain(p.notice),
		"cancel": plain(p.cancel),
	}
}
