// The loop of the program: a line in, a call, a line out. See tests/drivers/programs/__init__.py.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"runtime/debug"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

type list = []any

// A function of the program: arguments in, answer out.
type function func(arguments []json.RawMessage) any

// failure carries an error out of a function.
type failure struct{ err error }

func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// shown returns an error of Postgres in the form that all programs show, or nil.
func shown(err error) any {
	var told *pgconn.PgError
	if !errors.As(err, &told) {
		return nil
	}
	orNull := func(text string) any {
		if text == "" {
			return nil
		}
		return text
	}
	return map[string]any{
		"sqlstate": told.Code, "message": told.Message, "detail": orNull(told.Detail),
		"constraint": orNull(told.ConstraintName),
	}
}

func refused(err error) any {
	if told := shown(err); told != nil {
		return told
	}
	panic(failure{fmt.Errorf("an error of Postgres was to be expected, not %v", err)})
}

func call(run function, arguments []json.RawMessage) (told map[string]any) {
	defer func() {
		if problem := recover(); problem != nil {
			if failed, is := problem.(failure); is {
				if error := shown(failed.err); error != nil {
					told = map[string]any{"error": error}
					return
				}
				problem = failed.err
			}
			told = map[string]any{"crash": fmt.Sprintf("%v\n%s", problem, debug.Stack())}
		}
	}()
	return map[string]any{"answer": run(arguments)}
}

func say(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		text, _ = json.Marshal(map[string]any{"crash": err.Error()})
	}
	fmt.Println(string(text))
}

func serve(driver, version string, functions map[string]function) {
	names := make([]string, 0, len(functions))
	for name := range functions {
		names = append(names, name)
	}
	say(map[string]any{"driver": driver, "version": version, "functions": names})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var asked struct {
			Run  string
			With []json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			say(map[string]any{"crash": err.Error()})
			continue
		}
		say(call(functions[asked.Run], asked.With))
	}
}

func argument[T any](arguments []json.RawMessage, place int) T {
	var value T
	check(json.Unmarshal(arguments[place], &value))
	return value
}

// digest returns what is told of many rows of name and big: their number, a hash and a sum.
func digest(names []string, bigs []int64) list {
	hash := sha256.Sum256([]byte(strings.Join(names, "\n")))
	sum := new(big.Int)
	for _, one := range bigs {
		sum.Add(sum, big.NewInt(one))
	}
	return list{len(names), hex.EncodeToString(hash[:]), sum.String()}
}
