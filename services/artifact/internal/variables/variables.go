package variables

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/seal"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/sealedbox"
)

// maxEnvironments bounds the environments of one request.
const maxEnvironments = 20

// Deps of the service. All are required.
type Deps struct {
	Rows *store.Variables
	// Box encrypts values at rest.
	Box *seal.Box
	// Key opens the values that gateways send.
	Key sealedbox.Key
	// DigestKey keys digests of variables.
	DigestKey []byte
	Log       *slog.Logger
}

// Service keeps variables. It is safe for concurrent use.
type Service struct{ deps Deps }

// New returns the service.
func New(d Deps) *Service { return &Service{d} }

// VariableKey returns the public key that values are sealed for.
func (s *Service) VariableKey(context.Context, *artifactv1.VariableKeyRequest) (*artifactv1.VariableKeyResponse, error) {
	return &artifactv1.VariableKeyResponse{PublicKey: s.deps.Key.Public()}, nil
}

// SetVariable sets a variable in each of the environments.
func (s *Service) SetVariable(ctx context.Context, req *artifactv1.SetVariableRequest) (*artifactv1.SetVariableResponse, error) {
	visibility, err := s.checkSet(req)
	if err != nil {
		return nil, err
	}
	value, err := s.deps.Key.Open(req.GetSealedValue(), sealedbox.AboutSet(req.GetProject(), req.GetName())...)
	if err != nil {
		return nil, httpx.Because(build.ErrInvalid, err, "the value was sealed for another service or another variable; all artifact services of a farm need the same master key")
	}
	defer clear(value)
	if err := refusal(build.CheckVariableValue(req.GetName(), string(value))); err != nil {
		return nil, err
	}
	resp := &artifactv1.SetVariableResponse{}
	var rows []store.Variable
	for _, environment := range unique(req.GetEnvironments()) {
		v := store.Variable{
			Project: req.GetProject(), Environment: environment, Name: req.GetName(), Visibility: string(visibility), Size: int64(len(value)),
			UpdatedAt: time.Now(),
		}
		if v.Sealed, v.WrappedKey, err = s.deps.Box.Seal(value, rowID(v)); err != nil {
			return nil, fmt.Errorf("seal variable %s: %w", v.Name, err)
		}
		rows = append(rows, v)
		resp.Variables = append(resp.Variables, view(v))
	}
	err = s.deps.Rows.Set(ctx, req.GetProject(), rows, build.MaxVariables, build.MaxVariablesBytes)
	if errors.Is(err, store.ErrFull) {
		return nil, httpx.Refuse(build.ErrTooLarge, "A project has at most %d variables with %d KiB of values in all of its environments. Unset some that no build needs",
			build.MaxVariables, build.MaxVariablesBytes>>10)
	}
	if err != nil {
		return nil, err
	}
	s.deps.Log.InfoContext(ctx, "variable set", "project", req.GetProject(), "name", req.GetName(), "environments", req.GetEnvironments(), "visibility", visibility)
	return resp, nil
}

func (s *Service) checkSet(req *artifactv1.SetVariableRequest) (build.Visibility, error) {
	err := cmp.Or(checkProject(req.GetProject()), checkEnvironments(req.GetEnvironments()), build.CheckVariableName(req.GetName()))
	if err != nil {
		return "", refusal(err)
	}
	for visibility, number := range visibilities() {
		if number == req.GetVisibility() {
			return visibility, nil
		}
	}
	return "", httpx.Refuse(build.ErrInvalid, "unknown visibility %d", int32(req.GetVisibility()))
}

// UnsetVariable removes a variable from the environments.
func (s *Service) UnsetVariable(ctx context.Context, req *artifactv1.UnsetVariableRequest) (*artifactv1.UnsetVariableResponse, error) {
	err := cmp.Or(checkProject(req.GetProject()), checkEnvironments(req.GetEnvironments()), build.CheckVariableName(req.GetName()))
	if err != nil {
		return nil, refusal(err)
	}
	had, err := s.deps.Rows.Unset(ctx, req.GetProject(), req.GetName(), unique(req.GetEnvironments()))
	if err != nil {
		return nil, err
	}
	s.deps.Log.InfoContext(ctx, "variable unset", "project", req.GetProject(), "name", req.GetName(), "environments", had)
	return &artifactv1.UnsetVariableResponse{Environments: had}, nil
}

// ListVariables returns the variables of a project, with the values of plain ones.
func (s *Service) ListVariables(ctx context.Context, req *artifactv1.ListVariablesRequest) (*artifactv1.ListVariablesResponse, error) {
	err := checkProject(req.GetProject())
	if req.GetEnvironment() != "" {
		err = cmp.Or(err, build.CheckEnvironment(req.GetEnvironment()))
	}
	if err != nil {
		return nil, refusal(err)
	}
	rows, err := s.deps.Rows.List(ctx, req.GetProject(), req.GetEnvironment())
	if err != nil {
		return nil, err
	}
	resp := &artifactv1.ListVariablesResponse{}
	for _, v := range rows {
		shown := view(v)
		if v.Visibility == string(build.Plain) {
			if shown.Value, err = s.open(v); err != nil {
				return nil, err
			}
		}
		resp.Variables = append(resp.Variables, shown)
	}
	return resp, nil
}

// For returns the variables of a project and environment, sealed for the holder of publicKey and bound to its attempt, and their digest. The
// caller has checked that it may have them.
func (s *Service) For(ctx context.Context, project string, req *artifactv1.WorkerGrantRequest) (sealed []byte, digest string, err error) {
	if err := build.CheckEnvironment(req.GetEnvironment()); err != nil {
		return nil, "", refusal(err)
	}
	set, err := s.set(ctx, project, req.GetEnvironment())
	if err != nil {
		return nil, "", err
	}
	plain, err := proto.Marshal(set)
	if err != nil {
		return nil, "", fmt.Errorf("pack variables: %w", err)
	}
	defer clear(plain)
	sealed, err = sealedbox.Seal(req.GetPublicKey(), plain, sealedbox.AboutBuild(req.GetBuildId(), req.GetAttempt(), req.GetEnvironment())...)
	if err != nil {
		return nil, "", httpx.Because(build.ErrInvalid, err, "the request for variables has no key to seal them for")
	}
	return sealed, s.digest(project, req.GetEnvironment(), set), nil
}

func (s *Service) open(v store.Variable) (string, error) {
	plain, err := s.deps.Box.Open(v.Sealed, v.WrappedKey, rowID(v))
	if err != nil {
		return "", fmt.Errorf("variable %s of project %s, environment %s: %w", v.Name, v.Project, v.Environment, err)
	}
	return string(plain), nil
}

// rowID is what a value is bound to: an exchange of rows in the database is noticed.
func rowID(v store.Variable) string {
	return strings.Join([]string{"variable", v.Project, v.Environment, v.Name, v.Visibility}, "\x00")
}

// view returns a variable without its value.
func view(v store.Variable) *artifactv1.Variable {
	return &artifactv1.Variable{
		Name: v.Name, Environment: v.Environment, Visibility: visibilities()[build.Visibility(v.Visibility)], UpdatedAtMs: v.UpdatedAt.UnixMilli(),
	}
}

func visibilities() map[build.Visibility]artifactv1.Visibility {
	return map[build.Visibility]artifactv1.Visibility{
		build.Plain: artifactv1.Visibility_VISIBILITY_PLAIN, build.Sensitive: artifactv1.Visibility_VISIBILITY_SENSITIVE,
		build.Secret: artifactv1.Visibility_VISIBILITY_SECRET,
	}
}

func checkProject(project string) error {
	if project == "" || !build.ValidName(project) {
		return fmt.Errorf("%w: project %.120q (letters, digits, space and ._@/-, 1 to %d)", build.ErrInvalid, project, build.MaxNameLength)
	}
	return nil
}

func checkEnvironments(all []string) error {
	if len(all) == 0 || len(all) > maxEnvironments {
		return fmt.Errorf("%w: %d environments (want 1 to %d)", build.ErrInvalid, len(all), maxEnvironments)
	}
	for _, name := range all {
		if err := build.CheckEnvironment(name); err != nil {
			return err
		}
	}
	return nil
}

// unique returns the environments of a request once each.
func unique(environments []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(environments)))
}

// refusal turns errors of package build into one that is shown to people.
func refusal(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, build.ErrTooLarge):
		return httpx.Refuse(build.ErrTooLarge, "%s", err)
	}
	return httpx.Refuse(build.ErrInvalid, "%s", err)
}
