package transfer

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/sealedbox"
)

// FetchVariables returns the farm's variables of the build's project in an environment, and their digest. They come sealed for a key of this call.
func (t *Transfers) FetchVariables(ctx context.Context, environment string) (all []*artifactv1.Variable, digest string, err error) {
	err = t.retry(ctx, "get the variables of environment "+environment, func() error {
		all, digest, err = t.variables(ctx, environment)
		return err
	})
	return all, digest, err
}

func (t *Transfers) variables(ctx context.Context, environment string) ([]*artifactv1.Variable, string, error) {
	key, err := sealedbox.New()
	if err != nil {
		return nil, "", err
	}
	resp, err := t.ask(ctx, &artifactv1.WorkerGrantRequest{
		Kind: artifactv1.Kind_KIND_VARIABLES, Environment: environment, PublicKey: key.Public(),
	})
	if err != nil {
		return nil, "", fmt.Errorf("ask for the variables: %w", err)
	}
	plain, err := key.Open(resp.GetSealedVariables(), sealedbox.AboutBuild(t.Lease.BuildID, t.Lease.Attempt, environment)...)
	if err != nil {
		return nil, "", fmt.Errorf("open the variables: %w", err)
	}
	defer clear(plain)
	var set artifactv1.VariableSet
	if err := proto.Unmarshal(plain, &set); err != nil {
		return nil, "", fmt.Errorf("unpack the variables: %w", err)
	}
	return set.GetVariables(), resp.GetVariablesDigest(), nil
}
