package identity_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/expo-free-agent/freeagent/shared/identity"
)

// pair makes a key and its public half.
func pair(t *testing.T, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
	t.Helper()
	kp, err := create()
	if err != nil {
		t.Fatal(err)
	}
	public, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return kp, public
}

// TestSealedCallout runs a server that seals its questions, and every kind of answer.
func TestSealedCallout(t *testing.T) {
	t.Parallel()
	issuer, issuerPublic := pair(t, nkeys.CreateAccount)
	xkey, xkeyPublic := pair(t, nkeys.CreateCurveKeys)
	fa := server.NewAccount("FA")
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, AuthTimeout: 5, Accounts: []*server.Account{fa},
		Users:       []*server.User{{Username: "services", Password: "random", Account: fa}},
		AuthCallout: &server.AuthCallout{Issuer: issuerPublic, Account: "FA", AuthUsers: []string{"services"}, XKey: xkeyPublic},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("server is not ready")
	}
	services, err := nats.Connect(srv.ClientURL(), nats.UserInfo("services", "random"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(services.Close)
	run(t, identity.Callout{
		Conn: services, Issuer: issuer, XKey: xkey, Account: "FA", Lookup: lookup, Log: slog.New(slog.DiscardHandler),
	})
	connect := func(user, password string) error {
		nc, err := nats.Connect(srv.ClientURL(), nats.UserInfo(user, password), nats.Timeout(10*time.Second))
		if err == nil {
			nc.Close()
		}
		return err
	}
	admitted := func() error { return connect("w1", "secret-of-w1") }
	for deadline := time.Now().Add(20 * time.Second); admitted() != nil; { // the callout may be a moment behind
		if time.Now().After(deadline) {
			t.Fatalf("the right worker: %v", admitted())
		}
	}
	for _, user := range []string{"revoked", "other", "badpool", "broken", "unknown", "_", "a.b", "*", ""} {
		if err := connect(user, "secret-of-"+user); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("connect as %q = %v, want a refusal", user, err)
		}
	}
}

// lookup knows a worker for each way to be refused.
func lookup(_ context.Context, id string) (identity.Worker, error) {
	w := identity.Worker{ID: id, SecretHash: identity.Hash("secret-of-" + id), Pool: "default"}
	switch id {
	case "w1":
	case "revoked":
		w.Revoked = true
	case "other":
		w.ID = "w1"
	case "badpool":
		w.Pool = "*"
	case "broken":
		return w, errors.New("the store does not answer")
	default:
		return identity.Worker{}, errors.New("unknown")
	}
	return w, nil
}

// run answers until the test ends.
func run(t *testing.T, c identity.Callout) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}
