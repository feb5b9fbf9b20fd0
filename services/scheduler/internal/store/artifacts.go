package store

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// artifactsOf unpacks the artifacts of a build, which are kept as JSON, so that an operator can read them in the table.
func artifactsOf(text string) (*schedulerv1.BuildArtifacts, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // most builds have none
	}
	a := new(schedulerv1.BuildArtifacts)
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(text), a); err != nil {
		return nil, fmt.Errorf("unpack build artifacts: %w", err)
	}
	return a, nil
}

// SaveArtifacts writes the artifacts of a build that ends in this transaction.
func SaveArtifacts(ctx context.Context, t *Tx, buildID string, a *schedulerv1.BuildArtifacts) error {
	text, err := protojson.Marshal(a)
	if err != nil {
		return fmt.Errorf("pack build artifacts: %w", err)
	}
	res, err := t.tx.ExecContext(ctx, `UPDATE builds SET artifacts = $1 WHERE id = $2`, string(text), buildID)
	return oneRow(res, err, "save the artifacts of build "+buildID)
}
