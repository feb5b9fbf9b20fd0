package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"strconv"
)

// Submit is what POST /builds takes.
type Submit struct {
	Platform, Project, Profile, Pool string
	Priority                         int
	// Source is streamed as it is read: a zip or tar.gz. Certs may be nil.
	Source, Certs io.Reader
	// SourceName is shown to people; only its last element is sent.
	SourceName string
	// Progress hears of bytes sent; nil for none.
	Progress func(n int)
}

// Submit sends a source as it is read: nothing of it is held in memory or written down. It is not tried again by itself: a
// repeat could be a second build. If reading the source fails, that error is returned.
func (c *Client) Submit(ctx context.Context, s Submit) (Submitted, error) {
	ctx, moved, stop := c.stall(ctx)
	defer stop()
	pr, pw := io.Pipe()
	// The transport waits for its reader, which may wait for a source that gives nothing: the end of ctx frees both.
	defer context.AfterFunc(ctx, func() { pr.CloseWithError(context.Cause(ctx)) })()
	form := multipart.NewWriter(pw)
	written := make(chan error, 1)
	go func() {
		err := s.write(form, func(n int) {
			moved()
			if s.Progress != nil {
				s.Progress(n)
			}
		})
		pw.CloseWithError(err)
		written <- err
	}()
	resp, err := c.postForm(ctx, pr, form.FormDataContentType())
	pr.Close()
	if werr := <-written; errors.Is(werr, errRead) { // that is the cause of whatever the server said
		if err == nil {
			resp.Body.Close()
		}
		return Submitted{}, werr
	}
	if err != nil {
		return Submitted{}, err
	}
	defer resp.Body.Close()
	var out Submitted
	if err := c.decode(ctx, resp, &out); err != nil {
		return out, err
	}
	return out, nil
}

func (c *Client) postForm(ctx context.Context, body io.Reader, contentType string) (*http.Response, error) {
	req, err := c.request(ctx, http.MethodPost, Path+"/builds", body)
	if err != nil {
		return nil, err
	}
	c.authorize(req)
	req.Header.Set("Content-Type", contentType)
	// A wrong key is told before the bytes go.
	req.Header.Set("Expect", "100-continue")
	return c.do(req)
}

// write puts the fields first, so that the server can refuse before the bytes come.
func (s Submit) write(form *multipart.Writer, progress func(int)) error {
	fields := [][2]string{{"platform", s.Platform}, {"project", s.Project}, {"profile", s.Profile}, {"pool", s.Pool}}
	if s.Priority != 0 {
		fields = append(fields, [2]string{"priority", strconv.Itoa(s.Priority)})
	}
	for _, f := range fields {
		if f[1] == "" {
			continue
		}
		if err := form.WriteField(f[0], f[1]); err != nil {
			return fmt.Errorf("send the form: %w", err)
		}
	}
	name := "source.tar.gz"
	if s.SourceName != "" {
		name = filepath.Base(s.SourceName)
	}
	if err := writeFile(form, "source", name, s.Source, progress); err != nil {
		return err
	}
	if s.Certs != nil {
		if err := writeFile(form, "certs", "certs.zip", s.Certs, progress); err != nil {
			return err
		}
	}
	if err := form.Close(); err != nil {
		return fmt.Errorf("send the form: %w", err)
	}
	return nil
}

func writeFile(form *multipart.Writer, field, name string, r io.Reader, progress func(int)) error {
	part, err := form.CreateFormFile(field, name)
	if err != nil {
		return fmt.Errorf("send the form: %w", err)
	}
	src := &source{r: r, field: field}
	_, err = io.CopyBuffer(struct{ io.Writer }{part}, movingReader{src, progress}, make([]byte, copyBuffer))
	if err != nil {
		return fmt.Errorf("send the form: %w", err)
	}
	return nil
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
