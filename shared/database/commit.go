package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
)

// committer lets the write transactions of a SQLite file share commits. SQLite has one writer, and each commit syncs the disk. Callers take
// turns on the one connection; a caller with others behind it leaves the transaction open for them, and the last one commits for all. No
// caller waits for company: one that is alone commits at once, and those that arrive during a sync share the next.
//
// Each caller's part is a savepoint, so a part that fails undoes itself and nothing else. A caller returns when the shared commit is durable.
type committer struct {
	db *sql.DB
	// turn is held by who uses the fields below; queued counts those who wait for it.
	turn   chan struct{}
	queued atomic.Int64

	conn       *sql.Conn
	statements map[string]*sql.Stmt // of conn, by text
	open       *commit              // nil: no transaction has begun
	closed     bool
}

// commit is one that is shared. done is closed when err says how it ended.
type commit struct {
	members int
	done    chan struct{}
	err     error
}

// maxMembers bounds how long the first one of a shared commit waits for the last.
const maxMembers = 128

// errUndone means that another part of the commit made SQLite undo everything. This part runs again.
var errUndone = errors.New("undone with another transaction")

func newCommitter(db *sql.DB) *committer {
	return &committer{db: db, turn: make(chan struct{}, 1), statements: map[string]*sql.Stmt{}}
}

// do runs f as a part of a commit and waits for that. A caller whose ctx has ended takes its turn too: those before it may
// have left the commit to it.
func (c *committer) do(ctx context.Context, f func() error) error {
	c.queued.Add(1)
	c.turn <- struct{}{}
	c.queued.Add(-1)
	shared, err := c.takeTurn(ctx, f)
	if err != nil {
		return err
	}
	<-shared.done
	return shared.err
}

func (c *committer) takeTurn(ctx context.Context, f func() error) (*commit, error) {
	defer func() { // also when f panics
		c.settle(ctx)
		<-c.turn
	}()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if err := c.begin(ctx); err != nil {
		return nil, fmt.Errorf("begin: %w", err)
	}
	return c.part(ctx, f)
}

// begin opens the transaction, or a savepoint in the one that is open.
func (c *committer) begin(ctx context.Context) error {
	if c.open != nil {
		return c.exec(ctx, "SAVEPOINT part")
	}
	if c.closed {
		return sql.ErrConnDone
	}
	if c.conn == nil {
		conn, err := c.db.Conn(ctx)
		if err != nil {
			return err
		}
		c.conn = conn
	}
	if _, err := c.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil { // with ctx: it may wait for another process
		c.reset(ctx)
		return err
	}
	c.open = &commit{done: make(chan struct{})}
	return nil
}

func (c *committer) part(ctx context.Context, f func() error) (*commit, error) {
	joined := false
	var failed error
	defer func() {
		if !joined {
			c.undo(ctx, failed)
		}
	}()
	failed = f()
	if failed != nil {
		return nil, failed
	}
	if c.open.members > 0 {
		if err := c.exec(ctx, "RELEASE part"); err != nil {
			return nil, fmt.Errorf("end of a transaction: %w", err)
		}
	}
	joined = true
	c.open.members++
	return c.open, nil
}

// undo rolls back a part that failed; the first one is the whole so far. After some faults (a full disk) SQLite has undone everything: there
// is no savepoint any more, and the other parts fail with errUndone.
func (c *committer) undo(ctx context.Context, failed error) {
	if c.open.members > 0 {
		err := c.exec(ctx, "ROLLBACK TO part")
		if err == nil {
			err = c.exec(ctx, "RELEASE part")
		}
		if err == nil {
			return
		}
	}
	c.end(ctx, errors.Join(errUndone, failed))
}

// settle commits if nobody comes after.
func (c *committer) settle(ctx context.Context) {
	if c.open == nil || c.queued.Load() > 0 && c.open.members < maxMembers {
		return
	}
	c.finish(ctx)
}

// finish commits what is open.
func (c *committer) finish(ctx context.Context) {
	if err := c.exec(ctx, "COMMIT"); err != nil {
		c.end(ctx, fmt.Errorf("commit: %w", err))
		return
	}
	close(c.open.done)
	c.open = nil
}

// end rolls everything back and says why to those who wait.
func (c *committer) end(ctx context.Context, why error) {
	if err := c.exec(ctx, "ROLLBACK"); err != nil && !noTransaction(err) {
		why = errors.Join(why, fmt.Errorf("roll back: %w", err))
		c.forget()
	}
	c.open.err = why
	close(c.open.done)
	c.open = nil
}

// reset makes sure that no transaction is left where it is not known whether one began.
func (c *committer) reset(ctx context.Context) {
	if err := c.exec(ctx, "ROLLBACK"); err != nil && !noTransaction(err) {
		c.forget()
	}
}

func (c *committer) forget() {
	for _, s := range c.statements {
		_ = s.Close() // the connection goes anyway
	}
	clear(c.statements)
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// close closes the connection after the callers inside have left. Later callers get an error.
func (c *committer) close() {
	c.turn <- struct{}{}
	c.closed = true
	if c.open != nil { // left to somebody who stands behind us
		c.finish(context.Background())
	}
	c.forget()
	<-c.turn
}

func (c *committer) exec(ctx context.Context, q string) error {
	_, err := c.ExecContext(context.WithoutCancel(ctx), q)
	return err
}

// statement returns the prepared statement of a text, nil if it is run unprepared.
func (c *committer) statement(ctx context.Context, q string) *sql.Stmt {
	if s := c.statements[q]; s != nil || len(c.statements) >= maxStatements {
		return s
	}
	s, err := c.conn.PrepareContext(ctx, q)
	if err != nil {
		return nil
	}
	c.statements[q] = s
	return s
}

// An interrupted statement would make SQLite undo the whole transaction, the others' parts too. Statements of ours are
// short, so a ctx that ends is looked at before each and lets it finish.

// ExecContext implements executor.
func (c *committer) ExecContext(ctx context.Context, q string, args ...any) (sql.Result, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ctx = context.WithoutCancel(ctx)
	if s := c.statement(ctx, q); s != nil { //nolint:sqlclosecheck // it stays prepared until close
		return s.ExecContext(ctx, args...)
	}
	return c.conn.ExecContext(ctx, q, args...)
}

// QueryContext implements executor.
func (c *committer) QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ctx = context.WithoutCancel(ctx)
	if s := c.statement(ctx, q); s != nil { //nolint:sqlclosecheck // it stays prepared until close
		return s.QueryContext(ctx, args...)
	}
	return c.conn.QueryContext(ctx, q, args...)
}

// QueryRowContext implements executor; a ctx that has ended is noticed by the next statement.
func (c *committer) QueryRowContext(ctx context.Context, q string, args ...any) *sql.Row {
	ctx = context.WithoutCancel(ctx)
	if s := c.statement(ctx, q); s != nil { //nolint:sqlclosecheck // it stays prepared until close
		return s.QueryRowContext(ctx, args...)
	}
	return c.conn.QueryRowContext(ctx, q, args...)
}
