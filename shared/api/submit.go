package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"strconv"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// Submit describes a build to submit.
type Submit struct {
	Platform, Project, Profile, Pool string
	Priority                         int
	// Supersede cancels unfinished builds of another commit of the same project, branch, platform and profile.
	Supersede bool
	// Origin is the revision that the source is of, as far as it is known.
	build.Origin
	build.Settings
	// ReuseKey is asked for when the source was sent, since it may depend on what was read; nil for a build that is never reused.
	ReuseKey func() (ReuseKey, error)
	// Prefers are labels that its worker should have; those that no known worker has are dropped with a warning.
	Prefers build.Requirements
	// Source is sent as it is read: a zip or tar.gz. Certs may be nil; they are held in memory. A Read that blocks must end
	// with the context.
	Source, Certs io.Reader
	// SourceName is shown to people; only its last element is sent.
	SourceName string
	// Progress is called with the number of bytes of the source that were sent; nil for none.
	Progress func(n int)
	// Limit is called with the size of the largest source that the server takes, in bytes, before the first byte is sent;
	// nil for none.
	Limit func(most int64)
}

// Submit sends the source as it is read and submits it as a build. No more than two chunks of the source are held in memory, and nothing
// is written to disk. Submit retries what breaks on the way; the result is one build all the same, since an upload becomes one build
// only. If reading the source fails, Submit returns that error.
func (s *BuildsService) Submit(ctx context.Context, in Submit) (Submitted, error) {
	if _, err := build.ParsePlatform(in.Platform); err != nil { // before the bytes go
		return Submitted{}, err
	}
	certs, err := in.readCerts()
	if err != nil {
		return Submitted{}, err
	}
	var up Upload
	err = s.conn.retry(ctx, func() error { // one whose answer is lost expires
		return failFastIfDown(s.conn.call(ctx, http.MethodPost, Path+"/uploads", NewUpload{Name: in.name(), Project: in.Project}, &up))
	})
	if err != nil {
		return Submitted{}, err
	}
	if in.Limit != nil {
		in.Limit(up.MaxBytes)
	}
	grant := Grant{URL: up.URL, Headers: up.Headers}
	if _, err := s.objects.Upload(ctx, grant, &source{r: in.Source, field: "source"}, in.Progress); err != nil {
		return Submitted{}, err
	}
	var key ReuseKey
	if in.ReuseKey != nil {
		if key, err = in.ReuseKey(); err != nil {
			return Submitted{}, err
		}
	}
	form, contentType, err := in.form(up.ID, key, certs)
	if err != nil {
		return Submitted{}, err
	}
	var out Submitted
	err = s.conn.retry(ctx, func() error { return s.postForm(ctx, form, contentType, &out) })
	return out, err
}

// maxCerts bounds the bytes of certificates that are read. The server's limit is lower and has its own message.
const maxCerts = 64 << 20

func (s Submit) readCerts() ([]byte, error) {
	if s.Certs == nil {
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(&source{r: s.Certs, field: "certs"}, maxCerts))
}

func (s Submit) name() string {
	if s.SourceName == "" {
		return "source.tar.gz"
	}
	return filepath.Base(s.SourceName)
}

// postForm is one try to submit the form. It has no deadline but the stall timeout: certificates may take long to send.
func (s *BuildsService) postForm(ctx context.Context, form []byte, contentType string, out *Submitted) error {
	ctx, touch, stop := s.conn.withStallTimeout(ctx)
	defer stop()
	req, err := s.conn.newRequest(ctx, http.MethodPost, Path+"/builds", progressReader{bytes.NewReader(form), func(int) { touch() }})
	if err != nil {
		return err
	}
	s.conn.authorize(req)
	req.ContentLength = int64(len(form))
	req.Header.Set("Content-Type", contentType)
	resp, err := s.conn.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return s.conn.decode(ctx, resp, out)
}

func (s Submit) form(upload string, key ReuseKey, certs []byte) (_ []byte, contentType string, err error) {
	var buf bytes.Buffer
	form := multipart.NewWriter(&buf)
	fields := [][2]string{
		{"platform", s.Platform}, {"project", s.Project}, {"profile", s.Profile}, {"pool", s.Pool}, {"upload", upload},
		{"repository", s.Repository}, {"commit", s.Commit}, {"branch", s.Branch},
		{"app_path", s.AppPath}, {"username", s.Username}, {"build_number", s.BuildNumber}, {"repack_from", s.RepackFrom},
		{"reuse_key", key.Key}, {"reuse_native_key", key.NativeKey},
		{"requires", string(s.Requires)}, {"prefers", string(s.Prefers)},
	}
	if s.Priority != 0 {
		fields = append(fields, [2]string{"priority", strconv.Itoa(s.Priority)})
	}
	if s.Supersede {
		fields = append(fields, [2]string{"supersede", "true"})
	}
	if key.Simulator {
		fields = append(fields, [2]string{"reuse_simulator", "true"})
	}
	if s.Modified {
		fields = append(fields, [2]string{"modified", "true"})
	}
	var errs []error
	for _, f := range fields {
		if f[1] != "" {
			errs = append(errs, form.WriteField(f[0], f[1]))
		}
	}
	if certs != nil {
		part, err := form.CreateFormFile("certs", "certs.zip")
		if err == nil {
			_, err = part.Write(certs)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(append(errs, form.Close())...); err != nil {
		return nil, "", fmt.Errorf("make the form: %w", err)
	}
	return buf.Bytes(), form.FormDataContentType(), nil
}

// source marks errors of reading, to tell them from those of the connection. Their text stays: it is for the user.
type source struct {
	r     io.Reader
	field string
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &readError{field: s.field, err: err}
	}
	return n, err
}

type readError struct {
	field string
	err   error
}

func (e *readError) Error() string   { return "read the " + e.field + ": " + e.err.Error() }
func (e *readError) Unwrap() []error { return []error{errRead, e.err} }
