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

// Submit is what a build is made of.
type Submit struct {
	Platform, Project, Profile, Pool string
	Priority                         int
	// Supersede cancels unfinished builds of another commit of the same project, branch, platform and profile.
	Supersede bool
	// Origin is what it is built of, as far as that is known.
	build.Origin
	// Source is sent as it is read: a zip or tar.gz. Certs may be nil; they are held in memory. If a Read hangs, it must end
	// with the context.
	Source, Certs io.Reader
	// SourceName is shown to people; only its last element is sent.
	SourceName string
	// Progress hears of bytes of the source sent; nil for none.
	Progress func(n int)
}

// Submit sends a source as it is read: no more of it than two pieces is held in memory, and nothing written down. What
// breaks under way is tried again, and is one build all the same, since an upload becomes one build only. If reading the source fails,
// that error is returned.
func (c *Client) Submit(ctx context.Context, s Submit) (Submitted, error) {
	if _, err := build.ParsePlatform(s.Platform); err != nil { // before the bytes go
		return Submitted{}, err
	}
	certs, err := s.readCerts()
	if err != nil {
		return Submitted{}, err
	}
	var place Upload
	err = c.persist(ctx, func() error { // one that is forgotten expires
		return unlessNobodyThere(c.call(ctx, http.MethodPost, Path+"/uploads", NewUpload{Name: s.name(), Project: s.Project}, &place))
	})
	if err != nil {
		return Submitted{}, err
	}
	grant := Grant{URL: place.URL, Headers: place.Headers}
	if _, err := c.Upload(ctx, grant, &source{r: s.Source, field: "source"}, s.Progress); err != nil {
		return Submitted{}, err
	}
	form, contentType, err := s.form(place.ID, certs)
	if err != nil {
		return Submitted{}, err
	}
	var out Submitted
	err = c.persist(ctx, func() error { return c.submit(ctx, form, contentType, &out) })
	return out, err
}

// maxCerts bounds what is read of certs, in bytes; the server's limit is lower and has a sentence of its own.
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

// persist repeats what may be repeated while it breaks.
func (c *Client) persist(ctx context.Context, f func() error) error {
	for again := c.again(); ; {
		err := f()
		if err == nil {
			return nil
		}
		if err := again.after(ctx, err); err != nil {
			return err
		}
	}
}

func (c *Client) submit(ctx context.Context, form []byte, contentType string, out *Submitted) error {
	ctx, moved, stop := c.stall(ctx)
	defer stop()
	req, err := c.request(ctx, http.MethodPost, Path+"/builds", movingReader{bytes.NewReader(form), func(int) { moved() }})
	if err != nil {
		return err
	}
	c.authorize(req)
	req.ContentLength = int64(len(form))
	req.Header.Set("Content-Type", contentType)
	resp, err := c.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return c.decode(ctx, resp, out)
}

func (s Submit) form(upload string, certs []byte) (_ []byte, contentType string, err error) {
	var buf bytes.Buffer
	form := multipart.NewWriter(&buf)
	fields := [][2]string{
		{"platform", s.Platform}, {"project", s.Project}, {"profile", s.Profile}, {"pool", s.Pool}, {"upload", upload},
		{"repository", s.Repository}, {"commit", s.Commit}, {"branch", s.Branch},
	}
	if s.Priority != 0 {
		fields = append(fields, [2]string{"priority", strconv.Itoa(s.Priority)})
	}
	if s.Supersede {
		fields = append(fields, [2]string{"supersede", "true"})
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

// source marks the errors of reading, to tell them from those of the line. Its own text stays: it is for the user.
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
