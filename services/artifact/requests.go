package artifact

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/proto-events/natsrpc"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/catalog"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/grant"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/janitor"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/logs"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/problem"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/variables"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// requests implements artifactv1.ArtifactServiceServer and artifactv1.ArtifactWorkerServiceServer.
type requests struct {
	*grant.Grants
	catalog.Requests
	*logs.Archivist
	*janitor.Janitor
	*variables.Service
}

// legacyServer is a Service that is built with legacy.go.
type legacyServer interface {
	serveLegacy(natsrpc.Registrar, *grant.Grants) error
}

// serveRequests answers all subjects of the service.
func (s *Service) serveRequests(server requests) (*rpc.Service, error) {
	r, err := rpc.NewService(s.deps.Conn, "artifact", version.Version, s.deps.Log)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		artifactv1.RegisterArtifactServiceServer(translated{r}, server),
		artifactv1.RegisterArtifactWorkerServiceServer(translated{r}, server),
	)
	if l, ok := any(s).(legacyServer); ok {
		err = errors.Join(err, l.serveLegacy(translated{r}, server.Grants))
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("serve artifact requests: %w", err), r.Stop(ctx))
	}
	return r, nil
}

// translated makes refusals of the errors of handlers.
type translated struct{ natsrpc.Registrar }

// Handle implements natsrpc.Registrar.
func (t translated) Handle(m natsrpc.Method, h natsrpc.Handler) error {
	return t.Registrar.Handle(m, func(ctx context.Context, workerID string, decode func(proto.Message) error) (proto.Message, error) {
		resp, err := h(ctx, workerID, decode)
		return resp, problem.Translate(err)
	})
}
