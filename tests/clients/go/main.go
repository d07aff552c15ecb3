// Asks a server what Grafana's Postgres data source asks, with the two drivers of Go programs, and prints the answers.
//
// tests/it/grafana.rs runs it: `go run . postgres://weir@HOST:PORT/weir`.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/lib/pq"
)

// A time series panel, with the macros already expanded.
const series = `SELECT floor(extract(epoch from at)/300)*300 AS "time", host AS metric, avg(load) AS load
FROM samples WHERE at BETWEEN '2026-01-01T00:00:00Z' AND '2026-01-01T00:59:59.999Z' GROUP BY 1, 2 ORDER BY 1, 2`

// What the query builder looks up; the parameters are the schema, and the table.
const (
	schemas = `SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT LIKE 'pg_%' AND schema_name != 'information_schema' ORDER BY schema_name`
	tables  = `SELECT table_name FROM information_schema.tables WHERE table_schema = $1 AND table_type IN ('BASE TABLE', 'VIEW') ORDER BY table_name`
	columns = `SELECT column_name, data_type, udt_name, numeric_precision, numeric_scale FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position`
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run . postgres://USER@HOST:PORT/DATABASE")
		os.Exit(2)
	}
	ctx := context.Background()
	for _, driver := range []struct {
		name string
		run  func(context.Context, string) error
	}{{"pgx", withPgx}, {"pq", withPq}} {
		fmt.Println("#", driver.name)
		if err := driver.run(ctx, os.Args[1]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", driver.name, err)
			os.Exit(1)
		}
	}
}

// withPgx does what Grafana does: pings with a pool, asks panels as query strings, and looks tables up with parameters.
func withPgx(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := pool.Ping(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	connection, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer connection.Release()
	results, err := connection.Conn().PgConn().Exec(ctx, series).ReadAll()
	if err != nil {
		return fmt.Errorf("panel: %w", err)
	}
	for _, result := range results {
		printResult(connection, result)
	}
	// Twice: pgx has prepared the statement then.
	for range 2 {
		rows, err := connection.Query(ctx, series)
		if err != nil {
			return fmt.Errorf("prepared panel: %w", err)
		}
		for rows.Next() {
			var time float64
			var metric string
			var load *float64
			if err := rows.Scan(&time, &metric, &load); err != nil {
				return fmt.Errorf("row of the prepared panel: %w", err)
			}
			if load == nil {
				printRow(time, metric, nil)
			} else {
				printRow(time, metric, *load)
			}
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("prepared panel: %w", err)
		}
	}
	for _, lookup := range [][]any{{schemas}, {tables, "public"}, {columns, "public", "by_host"}} {
		rows, err := connection.Query(ctx, lookup[0].(string), lookup[1:]...)
		if err != nil {
			return fmt.Errorf("look-up: %w", err)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				return fmt.Errorf("row of a look-up: %w", err)
			}
			printRow(values...)
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("look-up: %w", err)
		}
	}
	return nil
}

// printResult prints a result in text format: the columns with their types, then the rows.
func printResult(connection *pgxpool.Conn, result *pgconn.Result) {
	names := make([]string, len(result.FieldDescriptions))
	for i, field := range result.FieldDescriptions {
		kind := "unknown"
		if known, ok := connection.Conn().TypeMap().TypeForOID(field.DataTypeOID); ok {
			kind = known.Name
		}
		names[i] = field.Name + ":" + kind
	}
	fmt.Println("columns", strings.Join(names, " "))
	for _, row := range result.Rows {
		values := make([]string, len(row))
		for i, value := range row {
			values[i] = string(value)
		}
		fmt.Println("text", strings.Join(values, " "))
	}
}

// withPq does the same with lib/pq, as Grafana did before.
func withPq(ctx context.Context, url string) error {
	db, err := sql.Open("postgres", url+"?sslmode=disable")
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	for _, lookup := range [][]any{{series}, {schemas}, {tables, "public"}, {columns, "public", "by_host"}} {
		if err := printRows(ctx, db, lookup[0].(string), lookup[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// printRows prints what a query answers, and the types of a panel's columns.
func printRows(ctx context.Context, db *sql.DB, query string, arguments ...any) error {
	rows, err := db.QueryContext(ctx, query, arguments...)
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	if query == series {
		names := make([]string, len(types))
		for i, column := range types {
			names[i] = column.Name() + ":" + strings.ToLower(column.DatabaseTypeName())
		}
		fmt.Println("columns", strings.Join(names, " "))
	}
	for rows.Next() {
		values := make([]any, len(types))
		places := make([]any, len(types))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			return err
		}
		printRow(values...)
	}
	return rows.Err()
}

// printRow prints values, NULL as <nil> and numbers without an exponent.
func printRow(values ...any) {
	texts := make([]string, len(values))
	for i, value := range values {
		switch value := value.(type) {
		case float64:
			texts[i] = strconv.FormatFloat(value, 'f', -1, 64)
		case []byte:
			texts[i] = string(value)
		default:
			texts[i] = fmt.Sprint(value)
		}
	}
	fmt.Println("row", strings.Join(texts, " "))
}
