package database

import "errors"

var (
	// ErrConfig is returned by Open: the URL or another field cannot be used. The text says why and never holds the password.
	ErrConfig = errors.New("database configuration")
	// ErrMessage is returned by Emit for a message that the bus would refuse each time and that would hold up the rest.
	ErrMessage = errors.New("message cannot be published")
)
