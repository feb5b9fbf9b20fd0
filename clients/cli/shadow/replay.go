package shadow

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
)

// Run asks the shadow until ctx ends, then what still waits, until patience ends.
func (p *Proxy) Run(ctx, patience context.Context) {
	for {
		select {
		case j := <-p.jobs:
			p.replay(patience, j)
		case <-ctx.Done():
			p.drain(patience)
			return
		}
	}
}

func (p *Proxy) drain(patience context.Context) {
	for {
		select {
		case j := <-p.jobs:
			if patience.Err() != nil {
				p.skip(j, "proxy stopped")
				continue
			}
			p.replay(patience, j)
		default:
			return
		}
	}
}

// replay sends a job to the shadow and compares what it answers.
func (p *Proxy) replay(ctx context.Context, j *job) {
	defer j.body.close()
	if id, unknown := p.stranger(j); unknown {
		p.Tally.skipped(j.route, "concerns "+id+" that the shadow does not know")
		return
	}
	got, err := p.ask(ctx, j)
	if err != nil {
		p.Tally.failed(j.route, err)
		return
	}
	if introduces(j) && j.answer.status == got.status {
		p.book.study(j.answer.json, got.json)
	}
	p.Tally.compared(j.route, p.book.differences(j.route, j.answer, got))
}

// introduces says that the answer to a request brings new ids.
func introduces(j *job) bool {
	switch j.route {
	case "POST /api/builds/submit", "POST /api/builds/:id/retry", "POST /api/workers/register", "POST /api/diagnostics/report":
		return true
	}
	return false
}

// stranger finds the id in a path or query that has no counterpart, if the primary knew it.
func (p *Proxy) stranger(j *job) (what string, unknown bool) {
	if j.answer.status == http.StatusNotFound {
		return "", false // unknown to both
	}
	parts := strings.Split(strings.Trim(j.url.Path, "/"), "/")
	names := strings.Split(strings.Trim(strings.SplitN(j.route, " ", 2)[1], "/"), "/")
	for i, name := range names {
		if name == ":id" && i < len(parts) {
			if _, ok := p.book.shadowOf(parts[i]); !ok {
				return "a build or worker", true
			}
		}
	}
	if id := j.url.Query().Get("worker_id"); id != "" {
		if _, ok := p.book.shadowOf(id); !ok {
			return "a worker", true
		}
	}
	return "", false
}

// passed are the headers that a server of API v1 looks at.
func passed() []string {
	return []string{
		"X-Api-Key", "X-Build-Token", "X-Worker-Id", "X-Build-Id", "Authorization", "Content-Type", "Accept", "Range", "Origin", "User-Agent",
	}
}

func (p *Proxy) ask(ctx context.Context, j *job) (answer, error) {
	target := *p.cfg.Shadow
	target.Path = strings.TrimSuffix(target.Path, "/") + p.book.translate(j.url.Path)
	target.RawQuery = p.query(j.url)
	body, length, contentType := p.body(j)
	req, err := http.NewRequestWithContext(ctx, j.method, target.String(), body)
	if err != nil {
		return answer{}, fmt.Errorf("make a request: %w", err)
	}
	for _, name := range passed() {
		if v := j.header.Get(name); v != "" {
			req.Header.Set(name, v)
		}
	}
	for _, name := range []string{"X-Build-Token", "X-Worker-Id", "X-Build-Id"} {
		if v := req.Header.Get(name); v != "" {
			req.Header.Set(name, p.book.translate(v))
		}
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if req.ContentLength = length; length == 0 {
		req.Body = http.NoBody
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{}, withoutURL(err)
	}
	defer resp.Body.Close()
	rec := &recorder{hash: sha256.New()}
	if _, err := io.Copy(noting{rec}, resp.Body); err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	return newAnswer(resp.StatusCode, resp.Header.Get("Content-Type"), rec.head, rec.hash, rec.size), nil
}

// withoutURL keeps addresses, which hold ids, out of the summary.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

type noting struct{ r *recorder }

func (n noting) Write(b []byte) (int, error) {
	n.r.note(b)
	return len(b), nil
}

func (p *Proxy) query(u *url.URL) string {
	q := u.Query()
	for _, values := range q {
		for i, v := range values {
			values[i] = p.book.translate(v)
		}
	}
	return q.Encode()
}

// maxTranslated is how long a body may be that is searched for ids; a longer one that is no form is sent as it is.
const maxTranslated = 4 << 20

// body returns the body with the shadow's ids in it, and its length, -1 if that is not known.
func (p *Proxy) body(j *job) (body io.Reader, length int64, contentType string) {
	kind, params, err := mime.ParseMediaType(j.header.Get("Content-Type"))
	switch {
	case j.body.size == 0:
		return nil, 0, ""
	case err == nil && kind == "multipart/form-data" && params["boundary"] != "":
		return p.form(j, params["boundary"])
	case j.body.size > maxTranslated || j.header.Get("Content-Encoding") != "":
		return j.body.reader(), j.body.size, ""
	}
	data, err := io.ReadAll(j.body.reader())
	if err != nil {
		return j.body.reader(), j.body.size, ""
	}
	text := p.book.translate(string(data))
	return strings.NewReader(text), int64(len(text)), ""
}

// form sends the parts one after the other: files as they are, fields with ids put in.
func (p *Proxy) form(j *job, boundary string) (body io.Reader, length int64, contentType string) {
	r, w := io.Pipe()
	out := multipart.NewWriter(w)
	go func() {
		in := multipart.NewReader(j.body.reader(), boundary)
		_ = w.CloseWithError(errors.Join(p.parts(out, in), out.Close()))
	}()
	return r, -1, out.FormDataContentType()
}

const maxField = 1 << 20

func (p *Proxy) parts(out *multipart.Writer, in *multipart.Reader) error {
	for {
		part, err := in.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the form: %w", err)
		}
		to, err := out.CreatePart(part.Header)
		if err != nil {
			return fmt.Errorf("write the form: %w", err)
		}
		var from io.Reader = part
		if part.FileName() == "" {
			data, err := io.ReadAll(io.LimitReader(part, maxField))
			if err != nil {
				return fmt.Errorf("read the form: %w", err)
			}
			from = bytes.NewReader([]byte(p.book.translate(string(data))))
		}
		if _, err := io.Copy(to, from); err != nil {
			return fmt.Errorf("write the form: %w", err)
		}
	}
}
