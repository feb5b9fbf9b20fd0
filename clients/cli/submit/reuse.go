package submit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"net/http"
	"os"
	"path"
	"slices"

	"github.com/expo-free-agent/freeagent/clients/cli/download"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/easjson"
	"github.com/expo-free-agent/freeagent/shared/project/fingerprint"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
	"github.com/expo-free-agent/freeagent/shared/project/workspace"
)

// keyVersion changes whenever the meaning of a key does: keys of different versions never match.
const keyVersion = 1

// keyDocument is what a reuse key is a digest of: everything that decides the result, as far as a client knows it. The farm adds its variables
// and the worker its machine.
type keyDocument struct {
	Version  int    `json:"version"`
	Platform string `json:"platform"`
	AppPath  string `json:"app_path"`
	// Source is the digest of all that is sent. Empty in a native key, which has Lock, the digest of the lock file, since the farm installs
	// what that says, whatever the fingerprint of this machine's packages is.
	Source string `json:"source,omitempty"`
	Lock   string `json:"lock,omitempty"`
	// Commit is what the build sees as EAS_BUILD_GIT_COMMIT_HASH. Empty in a native key.
	Commit string `json:"commit,omitempty"`
	// Certs is the digest of the file with signing certificates.
	Certs   string           `json:"certs,omitempty"`
	Profile string           `json:"profile"`
	EAS     *easjson.Profile `json:"eas"`
	Own     profile.Own      `json:"own"`
	Shell   profile.Shell    `json:"shell"`
	Env     []string         `json:"env"`
}

func (d keyDocument) digest() (string, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("make the reuse key: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// reuseState is what a submit needs for its reuse key.
type reuseState struct {
	resolved profile.Profile
	// lock is the digest of the lock file before the source is read.
	lock string
	// hooks means that the app has commands of its own that a build runs.
	hooks bool
	// sent gets what is packed.
	sent  hash.Hash
	certs []byte
	// fingerprint of a development client, if it could be computed.
	fingerprint string
}

// checkReuse refuses flags that --reuse has no answer for.
func (o *options) checkReuse() error {
	switch {
	case !o.reuse:
		return nil
	case o.archive != "":
		return session.Usage("--reuse compares the files that are packed; it cannot be used with --archive")
	}
	return nil
}

// readCerts reads the certificates once: what is sent is what the key has.
func (o *options) readCerts() error {
	if o.certs == "" {
		return nil
	}
	data, err := os.ReadFile(o.certs)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	o.state.certs, o.Certs = data, bytes.NewReader(data)
	return nil
}

func digestOf(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// lockDigest returns the digest of the lock file of the app, and "" if there is none. It also looks for hooks.
func (o *options) lockDigest() (string, error) {
	root, err := os.OpenRoot(o.project.Root)
	if err != nil {
		return "", fmt.Errorf("open the project: %w", err)
	}
	defer root.Close()
	if pkg, err := workspace.ReadPackage(root.FS(), path.Clean(o.project.AppPath)); err == nil && pkg.HasHooks() {
		o.state.hooks = true
	}
	install, err := workspace.InstallOf(root.FS(), path.Clean(o.project.AppPath))
	if err != nil || install.LockFile == "" {
		return "", nil // an app without packages has no lock file
	}
	data, err := fs.ReadFile(root.FS(), install.LockFile)
	if err != nil {
		return "", fmt.Errorf("lock file: %w", err)
	}
	return digestOf(data), nil
}

// key returns the reuse key for a digest of the source.
func (o *options) key(source string) (k api.ReuseKey, err error) {
	p := o.state.resolved
	doc := keyDocument{
		Version: keyVersion, Platform: o.Platform, AppPath: o.AppPath, Source: source, Commit: o.Commit, Certs: digestOf(o.state.certs),
		Profile: cmp.Or(p.Name, o.Profile, profile.DefaultProfile), EAS: p.EAS, Own: p.Own, Shell: p.Shell, Env: sortedEnv(p.Env),
	}
	if k.Key, err = doc.digest(); err != nil {
		return k, err
	}
	k.Environment, _ = p.Environment()
	if !p.MakesDevelopmentClient(build.Platform(o.Platform)) || o.state.lock == "" || o.state.hooks {
		return k, nil
	}
	k.Simulator = o.Platform == string(build.IOS) && p.EAS.Simulator != nil && *p.EAS.Simulator
	lock, err := o.lockDigest()
	if err != nil || lock != o.state.lock { // it changed meanwhile: which one was sent is not known
		return k, err
	}
	doc.Source, doc.Commit, doc.Lock = "", "", lock
	k.NativeKey, err = doc.digest()
	return k, err
}

// sentKey is the key of what was packed, which may differ from the files as they are now.
func (o *options) sentKey() (api.ReuseKey, error) {
	return o.key(hex.EncodeToString(o.state.sent.Sum(nil)))
}

// prepareKey has the submit record its reuse key, so that later ones may get its build. It costs one more hash of what is packed.
func (o *options) prepareKey() (err error) {
	if o.project == nil || o.Project == "" {
		return nil
	}
	if o.state.lock, err = o.lockDigest(); err != nil {
		return err
	}
	o.state.sent = sha256.New()
	o.ReuseKey = o.sentKey
	return nil
}

// reused is what --json prints of a build that is reused.
type reused struct {
	api.Build

	AccessToken string `json:"access_token"`
	Reused      bool   `json:"reused"`
}

// submitted is what --json prints of a build that was submitted with --reuse.
type submitted struct {
	api.Submitted

	Reused bool `json:"reused"`
	// NotReused says why, for people.
	NotReused string `json:"not_reused"`
}

// findReuse returns a completed build that may stand for a new one; nil, with the reason, if there is none.
func (o *options) findReuse(ctx context.Context, client *api.Client) (*reused, string, error) {
	switch {
	case o.Project == "":
		return nil, "", session.Usage("builds are reused by project. Name it with --project")
	case o.numbering.increment:
		return nil, "the profile has autoIncrement, so each build has a number of its own", nil
	}
	h := sha256.New()
	if err := o.project.Digest(ctx, h); err != nil {
		return nil, "", err
	}
	k, err := o.key(hex.EncodeToString(h.Sum(nil)))
	if err != nil {
		return nil, "", err
	}
	if k.NativeKey != "" {
		o.fingerprintApp(ctx)
	}
	answer, err := client.Builds.Reuse(ctx, api.FindReuse{
		Project: o.Project, Platform: o.Platform, Pool: o.Pool, ReuseKey: k, Fingerprint: o.state.fingerprint, BuildNumber: o.BuildNumber,
		Requires: string(o.Requires), Prefers: string(o.Prefers), Commit: o.Commit, Branch: o.Branch, Username: o.Username,
	})
	var refused *api.Error
	if errors.As(err, &refused) && (refused.Status == http.StatusNotFound || refused.Status == http.StatusMethodNotAllowed) {
		return nil, "the server is older than this client and knows no reuse", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("look for a build to reuse: %w", err)
	}
	if !answer.Reused || answer.Build == nil {
		return nil, answer.Reason, nil
	}
	return &reused{Build: *answer.Build, AccessToken: answer.AccessToken, Reused: true}, "", nil
}

// fingerprintApp computes the native fingerprint. Without one, only a build of exactly these sources is reused.
func (o *options) fingerprintApp(ctx context.Context) {
	hash, err := fingerprint.Of(ctx, o.project.App, build.Platform(o.Platform), o.state.resolved.Env)
	if err == nil {
		o.state.fingerprint = hash
		return
	}
	how := ""
	if errors.Is(err, fingerprint.ErrMissing) {
		how = ". Install its packages first, with the command of its package manager, such as npm ci"
	}
	fmt.Fprintf(o.io.Err, "note: no native fingerprint: %s%s. Only a build of exactly these sources can be reused\n", show.Safe(err.Error()), how)
}

// printReused prints the build that is reused and downloads its result, as after a build.
func (o *options) printReused(ctx context.Context, client *api.Client, r reused) error {
	out := o.io
	if o.json {
		if err := show.JSON(o.io.Out, r); err != nil {
			return err
		}
		out.Out, out.OutTTY = o.io.Err, o.io.ErrTTY
	} else {
		same := "same sources, profile and variables"
		if r.Fingerprint != "" && r.Fingerprint == o.state.fingerprint {
			same = "same native fingerprint, profile and variables"
		}
		fmt.Fprintf(o.io.Out, "Reused build %s: passed %s on worker %s, %s.\n", r.ID, show.Ago(r.FinishedAt, o.io.Now()), show.Safe(r.WorkerName), same)
		if r.Commit != "" && r.Commit != o.Commit {
			fmt.Fprintf(o.io.Out, "It is of commit %.12s.\n", r.Commit)
		}
		if o.output == "" {
			fmt.Fprintf(o.io.Out, "Download it: freeagent download %s\n", r.ID)
		}
	}
	if o.output == "" {
		return nil
	}
	return download.To(ctx, out, client, r.Build, o.output, false)
}

// reuseOrReason prints a reused build, and returns false with the reason if a build must be submitted.
func (o *options) reuseOrReason(ctx context.Context, client *api.Client) (done bool, err error) {
	found, reason, err := o.findReuse(ctx, client)
	if err != nil {
		return false, err
	}
	if found != nil {
		return true, o.printReused(ctx, client, *found)
	}
	o.notReused = reason
	fmt.Fprintf(o.io.Err, "Not reused: %s.\n", show.Safe(reason))
	return false, nil
}

func sortedEnv(env map[string]string) []string {
	pairs := make([]string, 0, len(env))
	for k, v := range env {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return pairs
}
