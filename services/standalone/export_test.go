package standalone

import "github.com/nats-io/nats.go"

// Connect gives tests a service's connection to the bus.
func (a *App) Connect() (*nats.Conn, error) { return a.bus.Connect("test", a.cfg.Log) }
