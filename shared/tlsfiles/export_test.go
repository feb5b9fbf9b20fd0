package tlsfiles

import (
	"crypto/tls"
	"time"
)

// LookEvery is a server whose files are looked at so often.
type LookEvery time.Duration

func (d LookEvery) Server(cert, key string) (*tls.Config, error) {
	return server(&pair{cert: cert, key: key, every: time.Duration(d)})
}
