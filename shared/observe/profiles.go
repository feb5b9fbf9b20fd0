package observe

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
)

// CheckProfiles says whether profiles may be served at an address: nobody is asked for a key, so only this machine may reach it.
func CheckProfiles(address string) error {
	if at, err := netip.ParseAddrPort(address); err != nil || !at.Addr().IsLoopback() {
		return fmt.Errorf("address of profiles must be one that only this machine reaches, such as 127.0.0.1:6060 (got %q)", address)
	}
	return nil
}

// ListenProfiles opens an address for Profiles.
func ListenProfiles(ctx context.Context, address string) (net.Listener, error) {
	if err := CheckProfiles(address); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for profiles: %w", err)
	}
	return l, nil
}

// Profiles serves Go's profiles of this process below /debug/pprof/, as `go tool pprof` reads them.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
