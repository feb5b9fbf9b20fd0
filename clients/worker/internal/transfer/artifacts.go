package transfer

import (
	"context"
	"os"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
)

// UploadArtifacts uploads the archive of files that the build keeps besides its result. It closes the archive.
func (t *Transfers) UploadArtifacts(ctx context.Context, archive *os.File, name string) (*eventsv1.ObjectRef, error) {
	r, err := measure(archive, name)
	if err != nil {
		return nil, err
	}
	defer r.file.Close()
	id, err := t.upload(ctx, artifactv1.Kind_KIND_ARTIFACTS, r)
	if err != nil {
		return nil, err
	}
	return &eventsv1.ObjectRef{ObjectId: id, Size: r.size, Sha256: r.sha256, Name: r.name}, nil
}
