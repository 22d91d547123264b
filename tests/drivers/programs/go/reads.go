package main

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	columns = "id, name, price, at, day, code, detail, body, tags, paid, weight, big"
	byID    = "SELECT " + columns + " FROM kinds WHERE id = $1"
	nameOf  = "SELECT name FROM kinds WHERE id = $1"
	noteOf  = "SELECT body FROM notes WHERE id = $1"
)

// A row of `kinds`.
type kind struct {
	ID     int32
	Name   *string
	Price  pgtype.Numeric
	At     *time.Time
	Day    *time.Time
	Code   pgtype.UUID
	Detail any
	Body   []byte
	Tags   []string
	Paid   *bool
	Weight *float64
	Big    *int64
}

// plain returns the row in the form that all programs share.
func (row kind) plain() list {
	shown := list{row.ID, row.Name, nil, nil, nil, nil, row.Detail, nil, nil, row.Paid, row.Weight, nil}
	if row.Price.Valid {
		value, err := row.Price.Value()
		check(err)
		shown[2] = value
	}
	if row.At != nil {
		shown[3] = row.At.UTC().Format("2006-01-02T15:04:05Z")
		shown[4] = row.Day.Format(time.DateOnly)
	}
	if row.Code.Valid {
		shown[5] = row.Code.String()
	}
	if row.Body != nil {
		shown[7], shown[8] = hex.EncodeToString(row.Body), row.Tags
	}
	if row.Big != nil {
		shown[11] = strconv.FormatInt(*row.Big, 10)
	}
	return shown
}

type querier interface {
	Query(context ctx, query string, values ...any) (pgx.Rows, error)
}

func rowsOf(on querier, query string, values ...any) list {
	found, err := on.Query(background, query, values...)
	check(err)
	rows, err := pgx.CollectRows(found, pgx.RowToStructByPos[kind])
	check(err)
	seen := list{}
	for _, row := range rows {
		seen = append(seen, row.plain())
	}
	return seen
}

// column returns the first column of all rows.
func column[T any](on querier, query string, values ...any) []T {
	found, err := on.Query(background, query, values...)
	check(err)
	seen, err := pgx.CollectRows(found, pgx.RowTo[T])
	check(err)
	if seen == nil {
		seen = []T{}
	}
	return seen
}

// value returns the first column of the only row, or nil.
func value(on querier, query string, values ...any) any {
	if seen := column[any](on, query, values...); len(seen) > 0 {
		return seen[0]
	}
	return nil
}

func (p *program) session() any {
	found, err := p.conn.Query(background, "SELECT current_user::text, current_database()::text, current_setting('application_name')")
	check(err)
	seen, err := pgx.CollectOneRow(found, func(row pgx.CollectableRow) (list, error) { return row.Values() })
	check(err)
	return seen
}

// rowPrepared reads by a statement that is prepared under a name.
func (p *program) rowPrepared(number int) any {
	_, err := p.conn.Prepare(background, "by_id", byID)
	check(err)
	return rowsOf(p.conn, "by_id", number)
}

func (p *program) large() any {
	found, err := p.conn.Query(background, "SELECT name, big FROM kinds WHERE id > 0 ORDER BY id")
	check(err)
	var names []string
	var bigs []int64
	var name string
	var big int64
	_, err = pgx.ForEachRow(found, []any{&name, &big}, func() error {
		names, bigs = append(names, name), append(bigs, big)
		return nil
	})
	check(err)
	return digest(names, bigs)
}

func (p *program) typedParameters(number int) any {
	hash := md5.Sum([]byte(strconv.Itoa(number)))
	var price pgtype.Numeric
	check(price.Scan(strconv.FormatFloat(float64(number)*1.25, 'f', 2, 64)))
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	seen := list{}
	for _, name := range []any{fmt.Sprintf("name %d", number), nil} {
		values := []any{
			number, name, price, begin.Add(time.Duration(number) * time.Hour), begin.AddDate(0, 0, number),
			pgtype.UUID{Bytes: hash, Valid: true}, []byte{0, 255}, []string{"a", fmt.Sprintf("b%d", number)},
			number%2 == 0, float64(number) / 4, int64(number) * 1000000000000,
		}
		query := "SELECT id FROM kinds WHERE id = $1 AND name = $2 AND price = $3 AND at = $4 AND day = $5 AND code = $6" +
			" AND body = $7 AND tags = $8 AND paid = $9 AND weight = $10 AND big = $11"
		seen = append(seen, column[int32](p.conn, query, values...))
	}
	return seen
}

func (p *program) described() any {
	described, err := p.conn.Prepare(background, "", "SELECT id, name, price, at, detail FROM kinds WHERE id = $1")
	check(err)
	names := list{}
	for _, field := range described.Fields {
		names = append(names, field.Name)
	}
	return names
}

func (p *program) settings(number int) any {
	seen := list{}
	for _, command := range []string{"RESET TimeZone", "SET TimeZone TO 'America/New_York'", "RESET TimeZone"} {
		p.run(command)
		var moment any
		for range 3 {
			moment = value(p.conn, "SELECT at::text FROM kinds WHERE id = $1", number)
		}
		seen = append(seen, moment)
	}
	return seen
}

func (p *program) searchPath(number int) any {
	seen := list{}
	for _, path := range []string{"public", "other, public", "public", "other, public", "public"} {
		p.run("SET search_path TO " + path)
		check(p.conn.DeallocateAll(background)) // a statement that was prepared before means the other table
		for range 2 {
			value(p.conn, nameOf, number)
		}
		seen = append(seen, value(p.conn, nameOf, number))
	}
	p.run("RESET search_path")
	return seen
}

func (p *program) pool(connections, reads int) any {
	config, err := pgxpool.ParseConfig(databaseURL)
	check(err)
	config.MaxConns = int32(connections)
	pool, err := pgxpool.NewWithConfig(background, config)
	check(err)
	defer pool.Close()
	seen := make(list, connections)
	var group sync.WaitGroup
	for place := range connections {
		group.Go(func() {
			names := list{}
			for number := 1; number <= reads; number++ {
				names = append(names, value(pool, nameOf, number))
			}
			seen[place] = names
		})
	}
	group.Wait()
	return seen
}

func (p *program) twoReads(options pgx.TxOptions, number int) any {
	transaction, err := p.conn.BeginTx(background, options)
	check(err)
	seen := append(rowsOf(transaction, byID, number), rowsOf(transaction, byID, number)...)
	check(transaction.Commit(background))
	return seen
}

func (p *program) reads() map[string]function {
	number := func(run func(int) any) function {
		return func(with []json.RawMessage) any { return run(argument[int](with, 0)) }
	}
	in := func(mode pgx.QueryExecMode) function {
		return number(func(id int) any { return rowsOf(p.conn, byID, mode, id) })
	}
	return map[string]function{
		"session":        func([]json.RawMessage) any { return p.session() },
		"row":            number(func(id int) any { return rowsOf(p.conn, byID, id) }),
		"row_simple":     in(pgx.QueryExecModeSimpleProtocol),
		"row_binary":     in(pgx.QueryExecModeDescribeExec),
		"row_unprepared": in(pgx.QueryExecModeExec),
		"row_prepared":   number(p.rowPrepared),
		"large":          func([]json.RawMessage) any { return p.large() },
		"list": func(with []json.RawMessage) any {
			query := "SELECT name FROM kinds WHERE id = ANY($1) ORDER BY id"
			return column[string](p.conn, query, argument[[]int32](with, 0))
		},
		"typed_parameters":  number(p.typedParameters),
		"described":         func([]json.RawMessage) any { return p.described() },
		"settings":          number(p.settings),
		"search_path":       number(p.searchPath),
		"pool":              func(with []json.RawMessage) any { return p.pool(argument[int](with, 0), argument[int](with, 1)) },
		"transaction_reads": number(func(id int) any { return p.twoReads(pgx.TxOptions{}, id) }),
		"read_only_transaction": number(func(id int) any {
			return p.twoReads(pgx.TxOptions{AccessMode: pgx.ReadOnly}, id)
		}),
		"serializable_transaction": number(func(id int) any {
			return p.twoReads(pgx.TxOptions{IsoLevel: pgx.Serializable}, id)
		}),
	}
}
