package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"time"
)

// former is a worker of API v1.
type former struct {
	url, id string
}

// formerLoop submits a build, takes one, works at it and delivers it, again and again; one that is begun is finished.
func (l *load) formerLoop(ctx context.Context, number int) {
	w := &former{url: l.server.url}
	for ctx.Err() == nil {
		if err := w.register(ctx, fmt.Sprintf("mac-%d", number)); err == nil {
			break
		} else if l.failure(ctx, err); !pause(ctx, time.Second) {
			return
		}
	}
	for ctx.Err() == nil {
		err := l.submit(ctx, "ios")
		if err == nil {
			err = l.formerBuild(ctx, w)
		}
		if l.failure(ctx, err); err != nil && !pause(ctx, time.Second) {
			return
		}
	}
}

func (l *load) formerBuild(ctx context.Context, w *former) error {
	work := context.WithoutCancel(ctx)
	var build string
	for build == "" {
		var err error
		if build, err = w.poll(work); err != nil {
			return err
		}
		if build == "" && !pause(work, 100*time.Millisecond) {
			return nil
		}
	}
	until := time.Now().Add(l.plan.Hold)
	for time.Now().Before(until) && pause(ctx, l.plan.Post) {
		if err := w.say(work, build); err != nil {
			return err
		}
		l.posts.Add(2)
	}
	return w.deliver(work, build)
}

func (w *former) register(ctx context.Context, name string) error {
	var answer struct{ ID string }
	err := w.postJSON(ctx, "/api/workers/register", map[string]any{"name": name, "capabilities": map[string]any{"platforms": []string{"ios"}}}, &answer)
	w.id = answer.ID
	return err
}

func (w *former) poll(ctx context.Context) (string, error) {
	var answer struct{ Job *struct{ ID string } }
	if err := w.call(ctx, http.MethodGet, "/api/workers/poll?worker_id="+w.id, "", nil, &answer); err != nil || answer.Job == nil {
		return "", err
	}
	return answer.Job.ID, nil
}

// say posts a sample and ten lines.
func (w *former) say(ctx context.Context, build string) error {
	sample := map[string]any{
		"type": "cpu_snapshot", "timestamp": time.Now().UTC().Format(time.RFC3339Nano),
		"data": map[string]any{"cpu_percent": 42.5, "memory_mb": 2048},
	}
	lines := make([]map[string]string, 10)
	for i := range lines {
		lines[i] = map[string]string{"level": "info", "message": fmt.Sprintf("> Task :app:compile%dKotlin at %s", i, time.Now())}
	}
	return errors.Join(
		w.postJSON(ctx, "/api/builds/"+build+"/telemetry", sample, nil),
		w.postJSON(ctx, "/api/builds/"+build+"/logs", map[string]any{"logs": lines}, nil),
	)
}

func (w *former) deliver(ctx context.Context, build string) error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for _, f := range [][2]string{{"build_id", build}, {"worker_id", w.id}, {"success", "true"}} {
		if err := form.WriteField(f[0], f[1]); err != nil {
			return fmt.Errorf("make a result: %w", err)
		}
	}
	part, err := form.CreateFormFile("result", "App.ipa")
	if err == nil {
		_, err = io.CopyN(part, strings.NewReader(strings.Repeat("result", 1<<15)), 100<<10)
	}
	if err := errors.Join(err, form.Close()); err != nil {
		return fmt.Errorf("make a result: %w", err)
	}
	return w.call(ctx, http.MethodPost, "/api/workers/upload", form.FormDataContentType(), &body, nil)
}

func (w *former) postJSON(ctx context.Context, path string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return w.call(ctx, http.MethodPost, path, "application/json", bytes.NewReader(data), answer)
}

func (w *former) call(ctx context.Context, method, path, contentType string, body io.Reader, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("X-API-Key", key)
	req.Header.Set("X-Worker-Id", w.id)
	if parts := strings.Split(path, "/"); len(parts) > 3 && parts[2] == "builds" {
		req.Header.Set("X-Build-Id", parts[3])
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %.200s", resp.Status, data)
	}
	if err == nil && answer != nil {
		err = json.Unmarshal(data, answer)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
