package database

import "errors"

var (
	// ErrConfig is returned by Open: the URL or another field cannot be used. The text says why and never holds the password.
	ErrConfig = errors.New("database configuration")
	// ErrMessage is returned by Emit for a message that the bus would refuse each time and that would hold up the rest.
	ErrMessage = errors.New("message cannot be published")
	// ErrDuplicate is returned by CopyTx if a row is there already. Nothing was written.
	ErrDuplicate = errors.New("a row is there already")
	// ErrDialect is returned for what this database cannot do.
	ErrDialect = errors.New("not with this database")
)
