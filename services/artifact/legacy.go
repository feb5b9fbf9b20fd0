package artifact

import (
	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/proto-events/natsrpc"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/grant"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/legacy"
)

// serveLegacy answers the requests of import.
func (s *Service) serveLegacy(r natsrpc.Registrar, grants *grant.Grants) error {
	return artifactv1.RegisterArtifactLegacyServiceServer(r, legacy.Requests{Catalog: s.catalog, Logs: s.store.Logs, Grants: grants})
}
