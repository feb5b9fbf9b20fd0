package command_test

import (
	"net"
	"net/http"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/expo-free-agent/freeagent/services/scheduler/internal/command"
	"github.com/expo-free-agent/freeagent/shared/daemon/daemontest"
	"github.com/expo-free-agent/freeagent/shared/database/databasetest"
)

func environ(t *testing.T, srv *server.Server) []string {
	t.Helper()
	return append(daemontest.BusEnv(t, srv, "scheduler"),
		"FREEAGENT_SCHEDULER_LISTEN=127.0.0.1:0", "FREEAGENT_DATABASE_URL="+databasetest.Postgres(t), "FREEAGENT_HEARTBEAT_TIMEOUTS=install=3m,ours=1m")
}

// TestServesUntilToldToStop: ready when it can work, not ready with the reason when the bus goes, and a clean end either way.
func TestServesUntilToldToStop(t *testing.T) {
	t.Parallel()
	srv := daemontest.Bus(t, "scheduler")
	p := daemontest.Start(t, command.Run, environ(t, srv))
	p.Await("/livez", http.StatusOK, "ok")
	p.Await("/readyz", http.StatusOK, "ok")
	srv.Shutdown()
	p.Await("/readyz", http.StatusServiceUnavailable, "not ready: ")
	p.Stop(daemontest.BusPassword)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	good := environ(t, daemontest.Bus(t, "scheduler"))
	with := func(vars ...string) []string { return append(good[:len(good):len(good)], vars...) }
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	daemontest.Faults(t, command.Run, map[string]daemontest.Fault{
		"all at once": {
			Env:  []string{"FREEAGENT_HEARTBEAT_TIMEOUTS=install=1ms", "FREEAGENT_DATABASE_MAX_CONNS=many"},
			Want: []string{"FREEAGENT_NATS_URL", "FREEAGENT_DATABASE_URL", "heartbeat timeout of stage install must be whole seconds", "FREEAGENT_DATABASE_MAX_CONNS"},
		},
		"no secret":      {Env: with("FREEAGENT_NATS_PASSWORD_FILE=/no/such"), Want: []string{"FREEAGENT_NATS_PASSWORD_FILE", "/no/such"}},
		"bad address":    {Env: with("FREEAGENT_SCHEDULER_LISTEN=nonsense"), Want: []string{"listen"}},
		"taken port":     {Env: with("FREEAGENT_SCHEDULER_LISTEN=" + taken.Addr().String()), Want: []string{"in use"}},
		"bad database":   {Env: with("FREEAGENT_DATABASE_URL=mysql://u:" + daemontest.Hush + "@h/d"), Want: []string{"scheme"}},
		"no bus":         {Env: with("FREEAGENT_NATS_URL=nats://127.0.0.1:1"), Want: []string{"connect to the bus"}},
		"wrong password": {Env: with("FREEAGENT_NATS_PASSWORD=" + daemontest.Hush), Want: []string{"Authorization"}},
	})
}

func TestFlags(t *testing.T) {
	t.Parallel()
	daemontest.Flags(t, command.Run, "FREEAGENT_HEARTBEAT_TIMEOUTS")
}
