package variables

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// DigestVariables returns a keyed digest of the variables of a project and environment: equal digests mean equal names and values.
func (s *Service) DigestVariables(ctx context.Context, req *artifactv1.DigestVariablesRequest) (*artifactv1.DigestVariablesResponse, error) {
	if err := cmp.Or(checkProject(req.GetProject()), build.CheckEnvironment(req.GetEnvironment())); err != nil {
		return nil, refusal(err)
	}
	set, err := s.set(ctx, req.GetProject(), req.GetEnvironment())
	if err != nil {
		return nil, err
	}
	return &artifactv1.DigestVariablesResponse{Digest: s.digest(req.GetProject(), req.GetEnvironment(), set)}, nil
}

// digest is an HMAC, since a plain hash of a short secret could be guessed by everyone who reads the scheduler's database. Each text is preceded by
// its length, so that no two sets have the same bytes. Visibilities decide what logs show, and no result.
func (s *Service) digest(project, environment string, set *artifactv1.VariableSet) string {
	mac := hmac.New(sha256.New, s.deps.DigestKey)
	add := func(text string) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(text)))
		mac.Write(length[:])
		mac.Write([]byte(text))
	}
	add(project)
	add(environment)
	for _, v := range set.GetVariables() { // by name
		add(v.GetName())
		add(v.GetValue())
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// set returns the variables of a project and environment with their values. A build without a project has none.
func (s *Service) set(ctx context.Context, project, environment string) (*artifactv1.VariableSet, error) {
	set := &artifactv1.VariableSet{}
	if project == "" {
		return set, nil
	}
	rows, err := s.deps.Rows.List(ctx, project, environment)
	if err != nil {
		return nil, err
	}
	for _, v := range rows {
		full := view(v)
		if full.Value, err = s.open(v); err != nil {
			return nil, err
		}
		set.Variables = append(set.Variables, full)
	}
	return set, nil
}
