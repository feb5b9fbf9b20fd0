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

// Run sends queued requests to the shadow until ctx ends, then the rest of the queue until drainCtx
// ends.
func (p *Proxy) Run(ctx, drainCtx context.Context) {
	for {
		select {
		case j := <-p.jobs:
			p.replay(drainCtx, j)
		case <-ctx.Done():
			p.drain(drainCtx)
			return
		}
	}
}

func (p *Proxy) drain(drainCtx context.Context) {
	for {
		select {
		case j := <-p.jobs:
			if drainCtx.Err() != nil {
				p.skip(j, "proxy stopped")
				continue
			}
			p.replay(drainCtx, j)
		default:
			return
		}
	}
}

// replay sends a job to the shadow and compares the answers.
func (p *Proxy) replay(ctx context.Context, j *job) {
	defer j.body.close()
	if id, unknown := p.unknownID(j); unknown {
		p.Tally.skipped(j.route, "concerns "+id+" that the shadow does not know")
		return
	}
	got, err := p.ask(ctx, j)
	if err != nil {
		p.Tally.failed(j.route, err)
		return
	}
	if returnsNewIDs(j) && j.answer.status == got.status {
		p.ids.learn(j.answer.json, got.json)
	}
	p.Tally.compared(j.route, p.ids.differences(j.route, j.answer, got))
}

// returnsNewIDs reports whether the answer to a request contains new ids.
func returnsNewIDs(j *job) bool {
	switch j.route {
	case "POST /api/builds/submit", "POST /api/builds/:id/retry", "POST /api/workers/register", "POST /api/diagnostics/report":
		return true
	}
	return false
}

// unknownID reports an id in the path or query that the primary knew and the shadow does not.
func (p *Proxy) unknownID(j *job) (what string, unknown bool) {
	if j.answer.status == http.StatusNotFound {
		return "", false // unknown to both
	}
	parts := strings.Split(strings.Trim(j.url.Path, "/"), "/")
	names := strings.Split(strings.Trim(strings.SplitN(j.route, " ", 2)[1], "/"), "/")
	for i, name := range names {
		if name == ":id" && i < len(parts) {
			if _, ok := p.ids.shadowOf(parts[i]); !ok {
				return "a build or worker", true
			}
		}
	}
	if id := j.url.Query().Get("worker_id"); id != "" {
		if _, ok := p.ids.shadowOf(id); !ok {
			return "a worker", true
		}
	}
	return "", false
}

// forwardedHeaders are the headers that API v1 reads.
func forwardedHeaders() []string {
	return []string{
		"X-Api-Key", "X-Build-Token", "X-Worker-Id", "X-Build-Id", "Authorization", "Content-Type", "Accept", "Range", "Origin", "User-Agent",
	}
}

func (p *Proxy) ask(ctx context.Context, j *job) (answer, error) {
	target := *p.cfg.Shadow
	target.Path = strings.TrimSuffix(target.Path, "/") + p.ids.translate(j.url.Path)
	target.RawQuery = p.query(j.url)
	body, length, contentType := p.body(j)
	req, err := http.NewRequestWithContext(ctx, j.method, target.String(), body)
	if err != nil {
		return answer{}, fmt.Errorf("make a request: %w", err)
	}
	for _, name := range forwardedHeaders() {
		if v := j.header.Get(name); v != "" {
			req.Header.Set(name, v)
		}
	}
	for _, name := range []string{"X-Build-Token", "X-Worker-Id", "X-Build-Id"} {
		if v := req.Header.Get(name); v != "" {
			req.Header.Set(name, p.ids.translate(v))
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
	if _, err := io.Copy(hashWriter{rec}, resp.Body); err != nil {
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

type hashWriter struct{ r *recorder }

func (n hashWriter) Write(b []byte) (int, error) {
	n.r.note(b)
	return len(b), nil
}

func (p *Proxy) query(u *url.URL) string {
	q := u.Query()
	for _, values := range q {
		for i, v := range values {
			values[i] = p.ids.translate(v)
		}
	}
	return q.Encode()
}

// maxTranslated is the size limit of bodies whose ids are translated. Longer bodies are sent
// unchanged, unless they are forms.
const maxTranslated = 4 << 20

// body returns the body with the shadow's ids and its length, -1 if unknown.
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
	text := p.ids.translate(string(data))
	return strings.NewReader(text), int64(len(text)), ""
}

// form streams the parts of a form: files unchanged, fields with translated ids.
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
			from = bytes.NewReader([]byte(p.ids.translate(string(data))))
		}
		if _, err := io.Copy(to, from); err != nil {
			return fmt.Errorf("write the form: %w", err)
		}
	}
}
