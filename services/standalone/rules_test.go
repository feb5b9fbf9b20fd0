package standalone_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// TestRulesByCommand sets rules as an administrator does, and a submit that they bound says so.
func TestRulesByCommand(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.says("rules", "project", "shop", "--weight", "20", "--max-running", "2", "--max-priority", "3")
	f.says("rules", "project", "shop", "--supersede") // the others stay
	f.says("rules", "pool", "default", "--max-running", "6")
	want := regexp.MustCompile(`(?m)^shop +20 +2 +3 +yes$`)
	if got := f.says("rules"); !want.MatchString(got) || !strings.Contains(got, "default  6") {
		t.Errorf("freeagent rules printed\n%s", got)
	}
	f.says("rules", "project", "shop", "--reset")
	f.says("rules", "pool", "default", "--reset")
	if got := f.says("rules"); strings.Contains(got, "shop") || strings.Contains(got, "POOL") {
		t.Errorf("after --reset freeagent rules printed\n%s", got)
	}
}

// TestRepeatedUploadWithABoundedPriority: the project's rule lowers the priority, and a repeat of the submit gets the same build.
func TestRepeatedUploadWithABoundedPriority(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.says("rules", "project", "shop", "--max-priority", "3")
	var up api.Upload
	f.call(http.MethodPost, "/api/v2/uploads", "application/json", `{"name":"app.tar.gz","project":"shop"}`, nil, &up)
	target, err := url.Parse(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	source, err := io.ReadAll(project(t))
	if err != nil {
		t.Fatal(err)
	}
	var ignored map[string]any
	f.call(http.MethodPut, target.RequestURI(), "application/gzip", string(source), up.Headers, &ignored)
	submit := func(priority string) (b api.Build, status int) {
		form := "--x\r\n"
		for name, value := range map[string]string{"platform": "ios", "project": "shop", "upload": up.ID, "priority": priority} {
			form += "Content-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n--x"
			form += "\r\n"
		}
		form = strings.TrimSuffix(form, "\r\n") + "--\r\n"
		status = f.call(http.MethodPost, "/api/v2/builds", "multipart/form-data; boundary=x", form, nil, &b)
		return b, status
	}
	first, status := submit("50")
	if status != http.StatusCreated || first.Priority != 3 {
		t.Fatalf("submit = %d, priority %d; want 201, 3", status, first.Priority)
	}
	if again, status := submit("50"); status != http.StatusCreated || again.ID != first.ID {
		t.Errorf("repeat = %d, build %s; want 201, %s", status, again.ID, first.ID)
	}
	if _, status := submit("2"); status != http.StatusConflict {
		t.Errorf("repeat with another priority = %d, want 409", status)
	}
}

// call sends a request with the farm's key, decodes a successful JSON response into v and returns the status.
func (f *farm) call(method, path, contentType, body string, headers map[string]string, v any) int {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, f.url()+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("X-API-Key", farmKey)
	req.Header.Set("Content-Type", contentType)
	for k, h := range headers {
		req.Header.Set(k, h)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode < http.StatusBadRequest {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		f.t.Fatalf("%s %s = %d %s: %v", method, path, resp.StatusCode, data, err)
	}
	return resp.StatusCode
}
