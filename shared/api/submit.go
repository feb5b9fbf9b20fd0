package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
)

// Submit sends a source as it is read: nothing of it is held in memory or written down.
func (c *Client) Submit(ctx context.Context, s Submit) (Submitted, error) {
	ctx, moved, stop := stall(ctx)
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
	if werr := <-written; werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
		return Submitted{}, werr // reading the source failed: that is the cause of whatever the server said
	}
	if err != nil {
		return Submitted{}, err
	}
	defer resp.Body.Close()
	var out Submitted
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("answer to the submit: %w", err)
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
	name := s.SourceName
	if name == "" {
		name = "source.tar.gz"
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
	if _, err := io.Copy(part, movingReader{r, progress}); err != nil {
		return fmt.Errorf("send the %s: %w", field, err)
	}
	return nil
}
