package artifact

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/proto-events/natsrpc"
	"github.com/expo-free-agent/freeagent/shared/rpc"
	"github.com/expo-free-agent/freeagent/shared/version"
)

// requests implements artifactv1.ArtifactServiceServer and artifactv1.ArtifactWorkerServiceServer.
type requests struct{ *Service }

// serveRequests answers every subject that the service hears.
func (s *Service) serveRequests() (*rpc.Service, error) {
	r, err := rpc.NewService(s.conn, "artifact", version.Version, s.log)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		artifactv1.RegisterArtifactServiceServer(translated{r}, requests{s}),
		artifactv1.RegisterArtifactWorkerServiceServer(translated{r}, requests{s}),
	)
	if err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("serve artifact requests: %w", err), r.Stop(ctx))
	}
	return r, nil
}

// translated makes the errors of handlers fit for those who ask.
type translated struct{ natsrpc.Registrar }

// Handle implements natsrpc.Registrar.
func (t translated) Handle(m natsrpc.Method, h natsrpc.Handler) error {
	return t.Registrar.Handle(m, func(ctx context.Context, workerID string, decode func(proto.Message) error) (proto.Message, error) {
		resp, err := h(ctx, workerID, decode)
		return resp, translate(err)
	})
}
