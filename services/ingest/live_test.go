package ingest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// shows waits until the page has so many lines of the log, and no other rows.
func (b *browser) shows(lines int) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelectorAll("#rows .row").length === %d && !document.querySelector("#rows .absent")`, lines))
}

func (f *farm) running(id string) {
	f.scheduler.set(id, func(b *schedulerv1.Build) {
		b.State, b.Project, b.Stage, b.Attempt, b.StartedAtMs = "building", "shop", "compile", 1, time.Now().UnixMilli()
	})
}

// TestPageGoesOnWhereTheLineBroke: every line once, in order, and what somebody has selected
// meanwhile stays selected.
func TestPageGoesOnWhereTheLineBroke(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.running(id)
	f.say(id, false, "line 1", "line 2", "line 3")
	b := f.browser()
	b.login("/builds/" + id)
	b.shows(3)
	eval[bool](b, `(getSelection().selectAllChildren(document.querySelectorAll("#rows .text")[1]), true)`)
	for i := range 3 {
		f.cut()
		f.say(id, false, fmt.Sprintf("line %d", i+4))
		b.shows(i + 4)
	}
	var want []string
	for i := range 6 {
		want = append(want, fmt.Sprintf("line %d", i+1))
	}
	if got := eval[string](b, `[...document.querySelectorAll("#rows .text")].map((e) => e.textContent).join(",")`); got != strings.Join(want, ",") {
		t.Errorf("the page shows %s", got)
	}
	if got := eval[string](b, `String(getSelection())`); got != "line 2" {
		t.Errorf("selected is %q, want line 2", got)
	}
}

// TestPageOfASessionThatEnds leads to the login as soon as the server says so, and back.
func TestPageOfASessionThatEnds(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.running(id)
	f.say(id, false, "line 1")
	b := f.browser()
	b.login("/builds/" + id)
	b.shows(1)
	b.do(chromedp.Evaluate[chromedp.Void](`void fetch("/logout", { method: "POST", redirect: "manual" }).then(() => { window.left = true; })`))
	b.until("window.left")
	f.cut()
	b.until(`location.pathname === "/login"`)
	b.do(chromedp.SendKeys("#key", adminKey), chromedp.Click("form button.primary"))
	b.until(`location.pathname === "/builds/` + id + `"`)
	b.shows(1)
}

// TestPageIsDeafToWhatBuildsSay: names, errors and log lines are text, whatever is in them.
func TestPageIsDeafToWhatBuildsSay(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	const evil = `<script>window.caught = 1</script><img src=x onerror="window.caught = 1"><a href="javascript:window.caught=1">`
	f.running(id)
	f.scheduler.set(id, func(b *schedulerv1.Build) { b.Project, b.Stage, b.Error, b.WorkerName = evil, evil, evil, evil })
	f.say(id, false, evil, "\x1b]8;;javascript:window.caught=1\x07link\x1b]8;;\x07", "\x1b[38;2;1;2;3;url(x)m"+evil)
	b := f.browser()
	b.login("/")
	b.until(`document.querySelector("tbody strong")?.textContent.includes("<script>")`)
	b.open("/builds/" + id)
	b.shows(3)
	f.scheduler.set(id, func(b *schedulerv1.Build) {
		b.State, b.Stage, b.FinishedAtMs = "failed", "sign "+evil, time.Now().UnixMilli()
	})
	f.say(id, true, "the end")
	b.until(`document.getElementById("stage").textContent.startsWith("sign <script>")`)
	if got := eval[string](b, `String(window.caught) + document.querySelectorAll("main script, main img, main a[href^=javascript]").length`); got != "undefined0" {
		t.Errorf("caught, and elements of the build's making: %s", got)
	}
}

// TestPagesByKeyboard: log in, go to a build and cancel it without a mouse.
func TestPagesByKeyboard(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.running(id)
	b := f.browser()
	b.open("/")
	b.until(`document.activeElement.id === "key"`)
	b.do(chromedp.KeyEvent(adminKey), chromedp.KeyEvent("\r"))
	b.until(`location.pathname === "/" && document.querySelector("tbody a")`)
	b.tab(`document.activeElement.matches("tbody a")`)
	b.do(chromedp.KeyEvent("\r"))
	b.until(`location.pathname === "/builds/` + id + `"`)
	eval[bool](b, `(window.confirm = () => true)()`)
	b.tab(`document.activeElement.matches("#cancel button")`)
	b.do(chromedp.KeyEvent("\r"))
	b.until(`document.getElementById("status")?.textContent === "Cancelled"`)
}

// tab presses the tabulator until the focus is where it is to be.
func (b *browser) tab(there string) {
	b.t.Helper()
	for range 40 {
		if eval[bool](b, there) {
			return
		}
		b.do(chromedp.KeyEvent("\t"))
	}
	b.t.Fatalf("the tabulator does not lead to %s", there)
}
