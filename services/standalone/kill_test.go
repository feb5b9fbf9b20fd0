package standalone_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// Each of these kills true processes with SIGKILL and then wants every acknowledged build completed exactly once.

func TestServerKilledBetweenSubmitAndClaim(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	id := f.submit()
	f.kill()
	f.up()
	f.worker("late", "")
	if b := f.completedOnce(id); len(b.Attempts) != 1 {
		t.Errorf("attempts = %+v, want one", b.Attempts)
	}
}

func TestServerKilledBetweenClaimAndFinish(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	f.worker("steady", "slow=3s")
	id := f.submit()
	f.becomes(id, "the worker builds", is("building"))
	f.kill()
	f.up()
	b := f.completedOnce(id)
	if len(b.Attempts) != 1 {
		t.Errorf("attempts = %+v, want one: the worker kept its lease over the restart", b.Attempts)
	}
}

// A submit in one request that is cut leaves nothing; see uploads_test.go for those that go on.
func TestServerKilledDuringASubmit(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	pr, pw := io.Pipe()
	defer pw.Close()
	form := multipart.NewWriter(pw)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url()+"/api/v2/builds", pr)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", farmKey)
	req.Header.Set("Content-Type", form.FormDataContentType())
	done := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		done <- err
	}()
	part, err := form.CreateFormFile("source", "app.zip")
	if err != nil {
		t.Fatal(err)
	}
	// More than one part of the object store, so that some of it is on disk.
	if _, err := part.Write(append([]byte("PK\x03\x04"), make([]byte, 20<<20)...)); err != nil {
		t.Fatal(err)
	}
	f.kill()
	pw.CloseWithError(io.ErrUnexpectedEOF)
	if err := <-done; err == nil {
		t.Error("the cut submit was acknowledged")
	}
	f.up()
	list, err := f.client().Builds.List(t.Context(), api.ListOptions{})
	if err != nil || len(list.Builds) != 0 {
		t.Errorf("builds = %+v, %v, want none", list.Builds, err)
	}
	if found := visibleObjects(t, f.dir); len(found) != 0 {
		t.Errorf("objects = %v, want none", found)
	}
	f.worker("w", "")
	f.completedOnce(f.submit())
}

// visibleObjects lists what the object store would show; the parts of broken uploads are hidden and swept by age.
func visibleObjects(t testing.TB, dir string) (found []string) {
	t.Helper()
	bucket := filepath.Join(dir, "objects", "objects", "freeagent")
	err := filepath.WalkDir(bucket, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.Contains(path, ".sgwtmp") {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestWorkerKilledMidBuild(t *testing.T) {
	t.Parallel()
	f := newFarm(t, "--heartbeat-timeouts", "all=2s")
	doomed := f.worker("doomed", "hang")
	id := f.submit()
	f.becomes(id, "the doomed worker builds", is("building"))
	killed := time.Now()
	doomed.kill()
	f.worker("heir", "")
	b := f.completedOnce(id)
	if len(b.Attempts) != 2 || b.Attempts[0].Outcome != "lost" || b.Attempts[1].WorkerName != "heir" {
		t.Errorf("attempts = %+v, want the first lost and the second by the heir", b.Attempts)
	}
	t.Logf("lost %s after SIGKILL: %s", b.Attempts[0].EndedAt, time.Since(killed))
}

// TestZombieIsRefused pauses a worker until its build is another's and completed; what it says then changes nothing.
func TestZombieIsRefused(t *testing.T) {
	t.Parallel()
	f := newFarm(t, "--heartbeat-timeouts", "all=2s")
	zombie := f.worker("zombie", "slow=4s")
	id := f.submit()
	f.becomes(id, "the zombie builds", is("building"))
	zombie.signal(syscall.SIGSTOP)
	f.worker("heir", "")
	before := f.completedOnce(id)
	zombie.signal(syscall.SIGCONT)
	f.eventually("the zombie hears that its lease is lost", func() bool { return strings.Contains(zombie.out.String(), "lease") })
	after := f.completedOnce(id)
	if after.Result.SHA256 != before.Result.SHA256 || after.WorkerName != "heir" || len(after.Attempts) != 2 {
		t.Errorf("the zombie changed the build: %+v, was %+v", after, before)
	}
	zombie.stop()
}

// TestPausedIdleWorkerIsBackAtOnce: a worker that slept until it counted as gone says that it is there as soon as it wakes.
func TestPausedIdleWorkerIsBackAtOnce(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	w := f.worker("sleeper", "")
	online := func() int { return f.v1Figures().NodesOnline }
	f.eventually("the worker is online", func() bool { return online() == 1 })
	w.signal(syscall.SIGSTOP)
	f.eventually("the worker is offline", func() bool { return online() == 0 })
	w.signal(syscall.SIGCONT)
	woken := time.Now()
	f.eventually("the worker is online again", func() bool { return online() == 1 })
	// Within a beat and the age of public figures; the next regular word of an idle worker comes after two minutes.
	if took := time.Since(woken); took > 45*time.Second {
		t.Errorf("back after %s", took)
	}
	w.stop()
}

// v1Figures are the public ones, a few seconds old at most.
func (f *farm) v1Figures() (figures struct{ NodesOnline int }) {
	f.t.Helper()
	resp, err := http.Get(f.url() + "/public/stats")
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&figures); err != nil {
		f.t.Fatal(err)
	}
	return figures
}

// TestRestartedWorkerLosesNoTime: a worker that comes back says what it holds, so nobody waits for a TTL of minutes.
func TestRestartedWorkerLosesNoTime(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	state := t.TempDir()
	start := func(fake string) *process {
		return run(t, []string{"FREEAGENT_API_KEY=" + farmKey},
			"worker", "--server", f.url(), "--name", "mac", "--state-dir", state, "--executor", "fake", "--fake", fake)
	}
	w := start("hang")
	id := f.submit()
	f.becomes(id, "the worker builds", is("building"))
	w.kill()
	start("")
	if b := f.completedOnce(id); len(b.Attempts) != 2 || b.Attempts[0].WorkerID != b.Attempts[1].WorkerID {
		t.Errorf("attempts = %+v, want two by the same worker", b.Attempts)
	}
}

func TestEverythingStopsOnSIGTERM(t *testing.T) {
	t.Parallel()
	f := newFarm(t, "--with-worker", "--executor", "fake")
	f.completedOnce(f.submit())
	w := f.worker("other", "slow=1s")
	f.eventually("the second worker has joined", func() bool { return strings.Contains(w.out.String(), "joined") })
	w.stop()
	f.stop()
}

// TestPausedServerLosesNobody: a server that did not run for three heartbeat timeouts finds every key expired, because nobody
// took the beats. All builds go on and end in their first attempt; so does one whose worker ended it meanwhile.
func TestPausedServerLosesNobody(t *testing.T) {
	t.Parallel()
	f := newFarm(t, "--heartbeat-timeouts", "all=15s")
	knobs := []string{"slow=32s", "slow=32s", "slow=32s", "slow=32s", "slow=32s", "slow=5s"}
	ids := make([]string, len(knobs))
	for i, fake := range knobs {
		f.worker(fmt.Sprintf("w%d", i), fake)
		ids[i] = f.submit()
	}
	for _, id := range ids {
		f.becomes(id, id+" is being built", is("building"))
	}
	f.signal(syscall.SIGSTOP)
	<-time.After(50 * time.Second) // workers give up their connections meanwhile
	f.signal(syscall.SIGCONT)
	for _, id := range ids {
		if b := f.completedOnce(id); len(b.Attempts) != 1 {
			t.Errorf("attempts of %s = %+v, want one: a pause of the server is nobody's fault", id, b.Attempts)
		}
	}
}

// TestPausedServerKeepsUploads: a server that did not run for longer than a silent client is forgiven goes on with the upload of a
// client that sent all the time.
func TestPausedServerKeepsUploads(t *testing.T) {
	t.Parallel()
	f := newFarm(t)
	source := make([]byte, 24<<20)
	_, _ = rand.Read(source) // it never fails
	form, contentType := killedForm(t, packed(t, map[string]string{"picture": string(source)}).Bytes())
	begun, paused := make(chan struct{}), make(chan struct{})
	body, sender := io.Pipe()
	go func() {
		half := len(form) / 2
		_, err := sender.Write(form[:half])
		if err == nil {
			close(begun)
			<-paused // what is sent to a stopped server stays in its buffers
			_, err = sender.Write(form[half:])
		}
		sender.CloseWithError(err)
	}()
	type answer struct {
		status int
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url()+"/api/builds/submit", body)
		if err != nil {
			answers <- answer{err: err}
			return
		}
		req.Header.Set("X-API-Key", farmKey)
		req.Header.Set("Content-Type", contentType)
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			err = resp.Body.Close()
			answers <- answer{resp.StatusCode, err}
			return
		}
		answers <- answer{err: err}
	}()
	<-begun
	f.signal(syscall.SIGSTOP)
	close(paused)
	<-time.After(75 * time.Second) // clients that send nothing are given up after a minute
	f.signal(syscall.SIGCONT)
	if a := <-answers; a.err != nil || a.status != http.StatusOK {
		t.Errorf("the upload was answered with %d, %v, want 200: the pause was the server's own", a.status, a.err)
	}
}
