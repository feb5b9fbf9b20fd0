package ingest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/api"
)

// held is a build that worker w1 holds.
func (f *farm) held(parts ...part) string {
	f.t.Helper()
	id, _ := f.submit(append(parts, source(), platform("ios"))...)
	f.assign(id, "w1")
	return id
}

func (f *farm) assign(id, worker string) {
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State, b.WorkerId = "assigned", worker })
}

func asWorker(worker string, more ...string) hdr {
	h := hdr{"X-API-Key": adminKey, "X-Worker-Id": worker}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = more[i+1]
	}
	return h
}

func (f *farm) secure(id string) reply {
	f.t.Helper()
	return f.do("GET", "/api/builds/"+id+"/certs-secure", nil, asWorker("w1", "X-Build-Id", id))
}

// signingJSON is the answer of certs-secure.
type signingJSON struct {
	P12, P12Password, KeychainPassword *string
	ProvisioningProfiles               *[]string
}

func (r reply) signing(t *testing.T) signingJSON {
	t.Helper()
	var s signingJSON
	dec := json.NewDecoder(bytes.NewReader(r.want(t, 200).body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil || s.P12 == nil || s.P12Password == nil || s.KeychainPassword == nil || s.ProvisioningProfiles == nil {
		t.Fatalf("certs-secure = %s, %v", r.body, err)
	}
	return s
}

func base64Of(texts ...string) []string {
	out := make([]string, len(texts))
	for i, s := range texts {
		out[i] = base64.StdEncoding.EncodeToString([]byte(s))
	}
	return out
}

func p12() string { return "\x30\x82\x01\x00\x02\x01\x03" + strings.Repeat("Z", 253) }

func TestCerts(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.held(certs())
	r := f.do("GET", "/api/builds/"+id+"/certs", nil, asWorker("w1")).want(t, 200)
	if string(r.body) != certsZip() || r.header.Get("Content-Type") != "application/zip" || r.header.Get("Cache-Control") != "no-store" ||
		r.header.Get("Content-Disposition") != `attachment; filename="`+id+`-certs.zip"` {
		t.Errorf("certs = %d bytes, %v", len(r.body), r.header)
	}
	r = f.secure(id)
	s := r.signing(t)
	if *s.P12 != base64Of("P12")[0] || *s.P12Password != "secret" || !slices.Equal(*s.ProvisioningProfiles, base64Of("A", "B")) {
		t.Errorf("certs-secure = %s", r.body)
	}
	if raw, err := base64.StdEncoding.DecodeString(*s.KeychainPassword); err != nil || len(raw) != 24 {
		t.Errorf("keychainPassword = %q", *s.KeychainPassword)
	}
	if again := f.secure(id).signing(t); *again.KeychainPassword == *s.KeychainPassword {
		t.Error("the keychain password is not fresh")
	}
	if r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != "application/json; charset=utf-8" {
		t.Errorf("headers = %v", r.header)
	}
	for _, secret := range []string{"secret", *s.P12, *s.KeychainPassword, base64Of("A")[0]} {
		if f.log.contains(secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

func TestCertsOfEveryKind(t *testing.T) {
	t.Parallel()
	f := setup(t)
	profile := part{"profile", "profile.mobileprovision", "PROFILE"}
	raw := part{"certs", "certs.zip", p12()}
	for name, c := range map[string]struct {
		parts    []part
		p12      string
		password string
		profiles []string
	}{
		"raw":                  {[]part{raw}, p12(), "", nil},
		"raw with a profile":   {[]part{raw, profile}, p12(), "", []string{"PROFILE"}},
		"the profile first":    {[]part{profile, raw}, p12(), "", []string{"PROFILE"}},
		"zip with a profile":   {[]part{profile, certs()}, "P12", "secret", []string{"A", "B", "PROFILE"}},
		"zip with odd secrets": {[]part{{"certs", "c", zipOf("a.p12", "P", "password.txt", " \"<\\é\x01> \n")}}, "P", "\"<\\é\x01>", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := f.secure(f.held(c.parts...)).signing(t)
			if *s.P12 != base64Of(c.p12)[0] || *s.P12Password != c.password {
				t.Errorf("p12 %q, password %q", *s.P12, *s.P12Password)
			}
			if diff := cmp.Diff(base64Of(c.profiles...), *s.ProvisioningProfiles); diff != "" {
				t.Errorf("profiles (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a profile alone means nothing", func(t *testing.T) {
		t.Parallel()
		f.secure(f.held(profile)).want(t, 404, "Certs not found")
	})
	t.Run("v2", func(t *testing.T) {
		t.Parallel()
		var got api.Submitted
		r := f.postForm(api.Path+"/builds", withKey(), profile, raw, source(), platform("ios"), part{"profile", "", "preview"}).want(t, 201)
		if err := json.Unmarshal(r.body, &got); err != nil || got.Profile != "preview" {
			t.Fatalf("submitted = %s, %v", r.body, err)
		}
		f.assign(got.ID, "w1")
		if s := f.secure(got.ID).signing(t); !slices.Equal(*s.ProvisioningProfiles, base64Of("PROFILE")) {
			t.Errorf("profiles = %q", *s.ProvisioningProfiles)
		}
	})
}

func TestBadCertsAreRefusedAtSubmit(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, c := range map[string]struct {
		data     string
		status   int
		sentence string
	}{
		"empty":       {"", 400, "The certs are damaged or incomplete: the file is empty"},
		"no zip":      {"PK but no zip", 400, "The certs are neither a zip nor a PKCS#12 (.p12) file"},
		"cut p12":     {p12()[:100], 400, "The certs are damaged or incomplete: the .p12 file should have 160 bytes more"},
		"no p12":      {zipOf("password.txt", "x"), 422, "The certs hold no .p12 file: put one into the zip, in any folder"},
		"dot dot":     {zipOf("../a.p12", "x"), 400, `The certs hold an unsafe entry: unsafe archive entry "../a.p12": the name holds ".."`},
		"over 50 MB":  {zipOf("a.p12", strings.Repeat("0", 51<<20)), 413, ""},
		"a lot of it": {strings.Repeat("x", 10<<20+1), 413, "Certs file too large"},
	} {
		r := f.postForm("/api/builds/submit", withKey(), platform("ios"), part{"certs", "c.zip", c.data}, source()).want(t, c.status)
		if got, _ := r.json(t)["error"].(string); c.sentence != "" && got != c.sentence {
			t.Errorf("%s: error = %q", name, got)
		}
		if n := f.artifact.count(); n != 0 {
			t.Errorf("%s: %d objects left", name, n)
		}
	}
	large := part{"profile", "p", strings.Repeat("x", 1<<20+1)}
	f.postForm("/api/builds/submit", withKey(), large, source(), platform("ios")).want(t, 413, "Profile file too large")
	if n := f.scheduler.count(); n != 0 {
		t.Errorf("%d builds submitted", n)
	}
}

func TestCertsAreForTheHolder(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, token := f.submit(source(), certs(), platform("ios"))
	path := "/api/builds/" + id + "/certs"
	f.do("GET", path, nil, asWorker("w1")).want(t, 403, "Worker not authorized for this build") // nobody's yet
	f.secure(id).want(t, 403, "Worker not assigned to this build")
	f.assign(id, "w1")

	f.do("GET", path, nil, nil).want(t, 401, "Missing X-API-Key header")
	f.do("GET", path, nil, hdr{"X-Build-Token": token, "X-Worker-Id": "w1"}).want(t, 401, "Missing X-API-Key header")
	f.do("GET", path, nil, hdr{"X-API-Key": "not-the-right-key-000000"}).want(t, 403, "Invalid API key")
	f.get(path).want(t, 401, "Missing X-Worker-Id header")
	f.do("GET", path, nil, asWorker("w2")).want(t, 403, "Worker not authorized for this build")
	f.do("GET", "/api/builds/nonexistent/certs", nil, asWorker("w1")).want(t, 404, "Build not found")

	path += "-secure"
	f.do("GET", path, nil, hdr{"X-Worker-Id": "w1", "X-Build-Id": id}).want(t, 401, "Missing X-API-Key header")
	f.get(path).want(t, 401, "Missing X-Worker-Id header")
	f.do("GET", path, nil, hdr{"X-API-Key": adminKey, "X-Build-Id": id}).want(t, 401, "Missing X-Worker-Id header")
	f.do("GET", path, nil, asWorker("w1")).want(t, 401, "Missing X-Build-Id header")
	f.do("GET", path, nil, asWorker("w1", "X-Build-Id", "other")).want(t, 403, "X-Build-Id header does not match build ID in URL")
	f.do("GET", "/api/builds/nope/certs-secure", nil, asWorker("w1", "X-Build-Id", "other")).want(t, 403, "X-Build-Id header does not match build ID in URL")
	f.do("GET", "/api/builds/nope/certs-secure", nil, asWorker("w1", "X-Build-Id", "nope")).want(t, 404, "Build not found")
	f.do("GET", path, nil, asWorker("w2", "X-Build-Id", id)).want(t, 403, "Worker not assigned to this build")

	f.secure(id).want(t, 200)
	for _, state := range []string{"completed", "failed", "cancelled", "pending"} { // the worker's id may stay in the record
		f.scheduler.set(id, func(b *schedulerv1.Build) { b.State = state })
		f.secure(id).want(t, 403, "Worker not assigned to this build")
		f.do("GET", strings.TrimSuffix(path, "-secure"), nil, asWorker("w1")).want(t, 403, "Worker not authorized for this build")
	}
}

func TestNoCerts(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.held()
	f.do("GET", "/api/builds/"+id+"/certs", nil, asWorker("w1")).want(t, 404, "Certs not found")
	f.secure(id).want(t, 404, "Certs not found")
	swept := f.held(certs())
	f.artifact.mu.Lock()
	clear(f.artifact.objects)
	f.artifact.mu.Unlock()
	f.secure(swept).want(t, 404, "Certs not found")
}

// TestCertsThatWereStoredOtherwise: what lies in the store is not trusted either.
func TestCertsThatWereStoredOtherwise(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.held(certs())
	o := f.artifact.of(id, artifactv1.Kind_KIND_CERTS)
	spoil := func(data string) {
		f.artifact.mu.Lock()
		defer f.artifact.mu.Unlock()
		o.data = []byte(data)
	}
	spoil(strings.ToUpper(certsZip()))
	f.secure(id).want(t, 500)
	spoil(certsZip()[:50])
	f.secure(id).want(t, 503)
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.Certs.Size = 11 << 20 })
	f.secure(id).want(t, 413, "Certs file too large")
}

// TestCertsAtOnce: with room for one at a time another waits, and both come through.
func TestCertsAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t, func(c *ingest.Config) { c.MaxConcurrentCerts = 1 })
	pr, pw := io.Pipe()
	form := multipart.NewWriter(pw)
	first, second := make(chan int, 1), make(chan int, 1)
	submit := func(body io.Reader, contentType string, status chan<- int) {
		req := f.request("POST", "/api/builds/submit", body, withKey())
		req.Header.Set("Content-Type", contentType)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			close(status)
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}
	go submit(pr, form.FormDataContentType(), first)
	// The profile comes before the certs, so all that certs may need stays reserved until they have
	// come.
	sendPart(t, form, "profile", "PROFILE")
	sendPart(t, form, "source", large().content)
	<-f.artifact.arrived

	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if err := write(w, source(), part{"certs", "c", p12()}, platform("ios")); err != nil {
		t.Fatal(err)
	}
	go submit(&body, w.FormDataContentType(), second)
	<-f.artifact.arrived
	select {
	case status := <-second:
		t.Fatalf("the second was answered %d while the first had the memory", status)
	default:
	}
	sendPart(t, form, "certs", p12())
	if err := form.WriteField("platform", "ios"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(form.Close(), pw.Close()); err != nil {
		t.Fatal(err)
	}
	if a, b := <-first, <-second; a != 200 || b != 200 {
		t.Errorf("answers = %d, %d", a, b)
	}
}

func sendPart(t *testing.T, form *multipart.Writer, name, content string) {
	t.Helper()
	out, err := form.CreateFormFile(name, name)
	if err == nil {
		_, err = io.WriteString(out, content)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCertsUpToTheLimit: of every size around those at which memory is taken.
func TestCertsUpToTheLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1000, 64<<10 - 1, 64 << 10, 64<<10 + 1, 200_000} {
		f := setup(t, func(c *ingest.Config) { c.MaxCertsBytes = int64(limit) })
		whole := "\x30\x80\x02\x01\x03" + noise(limit-5)
		for _, cut := range []int{limit - 300, limit - 400} { // the rest is for the zip around it
			id := f.held(part{"certs", "c", whole[:cut]})
			if s := f.secure(id).signing(t); *s.P12 != base64Of(whole[:cut])[0] {
				t.Errorf("limit %d: %d bytes did not come back", limit, cut)
			}
		}
		f.postForm("/api/builds/submit", withKey(), part{"certs", "c", whole}, source(), platform("ios")).want(t, 200)
		f.postForm("/api/builds/submit", withKey(), part{"certs", "c", whole + "x"}, source(), platform("ios")).want(t, 413, "Certs file too large")
	}
}

// TestCertsAreCut: a form that ends within the certs leaves nothing.
func TestCertsAreCut(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, size := range []int{0, 100, 64 << 10, 100_000} {
		body := "--b\r\nContent-Disposition: form-data; name=\"certs\"; filename=\"c\"\r\n\r\n" + strings.Repeat("x", size)
		h := withKey()
		h["Content-Type"] = "multipart/form-data; boundary=b"
		f.do("POST", "/api/builds/submit", strings.NewReader(body), h).want(t, 400, "The upload ended early or is not a valid form")
	}
	if n := f.artifact.count(); n != 0 {
		t.Errorf("%d objects left", n)
	}
}

// TestNoCertsIsSaid: the scheduler is told what the log of an iOS build without certs has to say.
func TestNoCertsIsSaid(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, c := range map[string]struct {
		parts []part
		said  bool
	}{
		"ios":                      {[]part{source(), platform("ios")}, true},
		"ios with a profile alone": {[]part{source(), {"profile", "p", "P"}, platform("ios")}, true},
		"ios with certs":           {[]part{source(), certs(), platform("ios")}, false},
		"android":                  {[]part{source(), platform("android")}, false},
	} {
		id, _ := f.submit(c.parts...)
		notes := f.scheduler.notesOf(id)
		if c.said != (len(notes) == 1 && strings.Contains(notes[0], "no signing certificates")) {
			t.Errorf("%s: notes = %q", name, notes)
		}
	}
}
