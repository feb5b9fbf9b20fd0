package database

import (
	"context"
	"database/sql"
	"sync"
)

// maxStatements bounds those kept prepared; texts beyond it, which a program of ours has not, are parsed anew each
// time.
const maxStatements = 256

// statements are the prepared ones of a SQLite database's readers, by text: parsing is a quarter of what a small read costs
// there. pgx keeps its own.
type statements struct {
	mu     sync.RWMutex
	byText map[string]*sql.Stmt
}

// prepared returns the statement of a text, nil if it is to be run as it is: then whatever is wrong with it shows itself.
func (db *DB) prepared(ctx context.Context, query string) *sql.Stmt {
	if db.dialect != SQLite {
		return nil
	}
	s := &db.readers
	s.mu.RLock()
	stmt, n := s.byText[query], len(s.byText)
	s.mu.RUnlock()
	if stmt != nil || n >= maxStatements {
		return stmt
	}
	fresh, err := db.read.PrepareContext(ctx, query)
	if err != nil {
		return nil
	}
	return s.keep(query, fresh)
}

// keep stores a statement unless another of the text was faster.
func (s *statements) keep(query string, fresh *sql.Stmt) *sql.Stmt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was := s.byText[query]; was != nil {
		_ = fresh.Close() // never used
		return was
	}
	if s.byText == nil {
		s.byText = map[string]*sql.Stmt{}
	}
	s.byText[query] = fresh
	return fresh
}

func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stmt := range s.byText {
		_ = stmt.Close() // the connections close with the pool, which reports
	}
	s.byText = nil
}
