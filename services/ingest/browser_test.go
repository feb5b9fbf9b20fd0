package ingest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// browser is a headless Chromium of the test's own.
type browser struct {
	t   testing.TB
	ctx context.Context // chromedp's handle
	url string
}

func (f *farm) browser() *browser {
	f.t.Helper()
	program := chromium()
	if program == "" {
		f.t.Skip("no Chromium here, which shows the pages: apt-get install chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(f.t.TempDir()), chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(time.Minute))
	allocated, free := chromedp.NewExecAllocator(context.WithoutCancel(f.t.Context()), opts...)
	ctx, leave := chromedp.NewContext(allocated)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	f.t.Cleanup(func() { cancel(); leave(); free() })
	return &browser{f.t, ctx, f.url}
}

func chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) open(path string) { b.t.Helper(); b.do(chromedp.Navigate(b.url + path)) }

func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until an expression is true in the page.
func (b *browser) until(expression string) {
	b.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !b.now(expression); <-tick.C {
		if time.Now().After(deadline) {
			b.shot("failed")
			b.t.Fatalf("not within a minute: %s\n%s", expression, eval[string](b, "document.body.innerText.slice(0, 2000)"))
		}
	}
}

// now reports whether an expression is true. A page that is being left cannot tell; the next one can.
func (b *browser) now(expression string) bool {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
	if err != nil && !strings.Contains(err.Error(), "navigated") {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return err == nil && v
}

// shot keeps a picture of the page where FREEAGENT_SCREENSHOTS says.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("FREEAGENT_SCREENSHOTS")
	if dir == "" {
		return
	}
	data, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(b.t.Name(), "/", "_")+"-"+name+".png"), data, 0o600)
	}
	if err != nil {
		b.t.Error(err)
	}
}

func (b *browser) login(path string) {
	b.t.Helper()
	b.open(path)
	b.do(chromedp.SendKeys("#key", adminKey), chromedp.Click("form button.primary"))
	b.until("location.pathname === " + fmt.Sprintf("%q", path))
}

func TestPagesFromLoginToTheEndOfABuild(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	other, _ := f.submit()
	f.scheduler.set(other, func(b *schedulerv1.Build) { b.State, b.Project = "completed", "other-app" })
	f.scheduler.set(id, func(b *schedulerv1.Build) {
		b.State, b.Project, b.Stage, b.WorkerName, b.Attempt = "building", "my-shop", "compile", "mac-mini-3", 1
		b.StartedAtMs = time.Now().Add(-90 * time.Second).UnixMilli()
	})
	b := f.browser()
	b.open("/")
	b.until(`location.pathname === "/login"`)
	b.shot("login")
	b.do(chromedp.SendKeys("#key", "not-the-key-0123456789"), chromedp.Click("form button.primary"))
	b.until(`document.querySelector(".fault")?.textContent.includes("Unknown API key")`)
	b.do(chromedp.SendKeys("#key", adminKey), chromedp.Click("form button.primary"))
	b.until(`location.pathname === "/" && document.querySelectorAll("tbody tr").length === 2`)
	b.shot("list")
	if got := eval[string](b, "document.cookie"); got != "" {
		t.Errorf("scripts see the cookie %q", got)
	}
	f.say(id, false, "Build submitted", "\x1b[32m\u2713\x1b[0m done \x1b]0;evil title\x07\x1b[2J<b>bold?</b>", "\x1b[1;38;5;208mwarm\x1b[0m", "\x1b[38;2;1;2;3mrgb")
	b.do(chromedp.Click(fmt.Sprintf(`a[href="/builds/%s"]`, id)))
	b.until(`document.querySelectorAll("#rows .row").length === 4`)
	for expression, want := range map[string]string{
		`document.querySelectorAll("#rows .text")[1].textContent`:            "\u2713 done <b>bold?</b>",
		`document.querySelector("#rows .f-a2").textContent`:                  "\u2713",
		`document.querySelector("#rows .t-bold").style.color`:                "rgb(255, 135, 0)",
		`document.querySelectorAll("#rows .text")[3].firstChild.style.color`: "rgb(1, 2, 3)",
		`document.title`: "my-shop · ios · Free Agent",
		`document.getElementById("count").textContent`:                           "4 lines",
		`document.getElementById("worker").textContent`:                          "mac-mini-3",
		`String(document.getElementById("download").classList.contains("gone"))`: "true",
		`document.querySelector("#rows .no").getAttribute("href")`:               "#L1",
	} {
		if got := eval[string](b, expression); got != want {
			t.Errorf("%s = %q, want %q", expression, got, want)
		}
	}
	f.say(id, false, "live line")
	b.until(`document.querySelectorAll("#rows .row")[4]?.textContent.includes("live line")`)
	b.shot("build")
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State, b.FinishedAtMs = "completed", time.Now().UnixMilli() })
	f.say(id, true, "Build completed successfully")
	b.until(`document.getElementById("status").textContent === "Completed" && document.getElementById("live").classList.contains("gone")`)
	if got := eval[bool](b, `document.getElementById("download").classList.contains("gone")`); got {
		t.Error("a completed build has no download button")
	}
	b.do(chromedp.Click("header form button"))
	b.until(`location.pathname === "/login"`)
	b.open("/builds/" + id)
	b.until(`location.pathname === "/login"`)
}

func TestPageOfALongLog(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	const n = 200_000
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("> Task :app:compile%d UP-TO-DATE", i+1)
	}
	texts[122_999] = "error: the needle is here"
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.State, b.Error = "failed", "compile failed with exit code 1" })
	f.archive(id, 0, nil, texts...)
	b := f.browser()
	b.login("/builds/" + id)
	last := func(want int) string {
		return fmt.Sprintf(`[...document.querySelectorAll("#rows .row")].some(r => r.querySelector(".no").textContent === "%d" && r.querySelector(".text").textContent !== "…")`, want)
	}
	b.until(last(n))
	b.shot("end")
	if got := eval[string](b, `document.getElementById("count").textContent`); got != "200,000 lines" {
		t.Errorf("count = %q", got)
	}
	eval[bool](b, `(location.hash = "#L100000", true)`)
	b.until(last(100_000) + ` && document.querySelector(".marked .no")?.textContent === "100000"`)
	b.do(chromedp.SendKeys("#q", "NEEDLE"))
	b.until(`document.getElementById("hits").textContent === "1 of 1" && document.querySelector(".marked .text")?.textContent.includes("needle")`)
	b.shot("found")
	b.do(chromedp.Click("#follow"))
	b.until(last(n))
	eval[bool](b, `(document.getElementById("log").scrollTop = 0, true)`)
	b.until(last(1) + ` && !document.getElementById("follow").checked`)
	if got := eval[int](b, `document.querySelectorAll("#rows .row").length`); got > 200 {
		t.Errorf("%d rows are in the page, want those that are seen", got)
	}
	// Scrolled through at once, no page is left empty.
	eval[bool](b, `(() => { const v = document.getElementById("log"); let y = 0, last = performance.now(); window.frames = { worst: 0 };
		const step = () => { const now = performance.now(); frames.worst = Math.max(frames.worst, now - last); last = now; v.scrollTop = y += v.scrollHeight / 25;
			if (y < v.scrollHeight) requestAnimationFrame(step); else frames.done = true; }; requestAnimationFrame(step); return true; })()`)
	b.until("frames.done")
	slow := eval[float64](b, "frames.worst")
	t.Logf("the slowest of 25 frames took %.0f ms", slow)
	b.until(last(n))
}

// TestPageCitesTheCause: the line of the output that the error names is a link into the log, in the last attempt.
func TestPageCitesTheCause(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.scheduler.set(id, func(b *schedulerv1.Build) {
		b.State, b.Error = "failed", "make failed with exit code 1: it broke. Mend it. (output line 2)"
	})
	f.archive(id, 0, nil, "▸ make: one two", "first", "worker lost", "Build retried", "▸ make: one two", "second", "the cause", "✗ make failed after 1s")
	b := f.browser()
	b.login("/builds/" + id)
	b.until(`document.querySelectorAll("#rows .row").length === 8`)
	if got := eval[string](b, `document.getElementById("error").textContent`); got != "make failed with exit code 1: it broke. Mend it. (output line 2)" {
		t.Errorf("the error is %q", got)
	}
	b.do(chromedp.Click("#error a"))
	b.until(`document.querySelector(".marked .text")?.textContent === "the cause"`)
}

func TestPageOfABuildByItsToken(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, token := f.submit()
	other, _ := f.submit()
	f.say(id, false, "mine")
	b := f.browser()
	b.open("/builds/" + id)
	b.until(`location.pathname === "/login"`)
	b.do(chromedp.Click("summary"), chromedp.SendKeys("#token", token), chromedp.Click("details button"))
	b.until(`location.pathname === "/builds/` + id + `" && document.querySelector("#rows .text")?.textContent === "mine"`)
	if got := eval[int](b, `document.querySelectorAll("#cancel").length`); got != 0 {
		t.Error("a token's holder sees the button to cancel")
	}
	for _, path := range []string{"/builds/" + other, "/"} {
		b.open(path)
		b.until(`location.pathname === "/login"`)
	}
}

func TestPageCancels(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	b := f.browser()
	b.login("/builds/" + id)
	eval[bool](b, `(window.confirm = () => true)()`)
	b.do(chromedp.Click("#cancel button"))
	b.until(`document.getElementById("status")?.textContent === "Cancelled"`)
}
