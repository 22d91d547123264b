// pgx 5: statements prepared and cached by their text, in binary; and its other modes.
package main

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"runtime/debug"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type ctx = context.Context

var (
	background  = context.Background()
	databaseURL = os.Getenv("DATABASE_URL")
)

type program struct {
	conn    *pgx.Conn
	notices list
}

func connected(url string) *pgx.Conn {
	conn, err := pgx.Connect(background, url)
	check(err)
	return conn
}

func (p *program) connect() {
	config, err := pgx.ParseConfig(databaseURL)
	check(err)
	config.OnNotice = func(_ *pgconn.PgConn, told *pgconn.Notice) { p.notices = append(p.notices, told.Message) }
	p.conn, err = pgx.ConnectConfig(background, config)
	check(err)
}

func version() string {
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/jackc/pgx/v5" {
			return module.Version[1:]
		}
	}
	return "unknown"
}

func main() {
	p := &program{}
	p.connect()
	functions := p.reads()
	maps.Copy(functions, p.writes())
	functions["connect"] = func(with []json.RawMessage) any {
		conn := connected(argument[string](with, 0))
		defer conn.Close(background)
		return list{value(conn, "SELECT 1")}
	}
	serve("pgx", version(), functions)
}
