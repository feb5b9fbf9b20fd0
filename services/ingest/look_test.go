package ingest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
)

// screen has the pages shown so wide, to somebody who prefers a scheme ("light", "dark").
func (b *browser) screen(width, height int64, scheme string) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height, func() []chromedp.EmulateViewportOption {
		if width < 600 {
			return []chromedp.EmulateViewportOption{chromedp.EmulateMobile, chromedp.EmulateTouch}
		}
		return nil
	}()...), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		return t.Call(ctx, "Emulation.setEmulatedMedia", map[string]any{
			"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}},
		}, nil)
	}))
}

// unreadable gives the texts whose colour is too close to what lies behind them: less than 4.5 to 1
// (WCAG 2.2, 1.4.3).
const unreadable = `(() => {
	const rgba = (c) => { const v = c.match(/[\d.]+/g).map(Number); return c.startsWith("color(") ? [v[0]*255, v[1]*255, v[2]*255, v[3] ?? 1] : [v[0], v[1], v[2], v[3] ?? 1]; };
	const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
	const lum = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const behind = (e) => { const all = []; for (; e; e = e.parentElement) all.unshift(rgba(getComputedStyle(e).backgroundColor)); return all.reduce((a, c) => over(c, a), [255, 255, 255, 1]); };
	const bad = new Set();
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n = walk.nextNode(); n; n = walk.nextNode()) {
		const e = n.parentElement, style = getComputedStyle(e);
		if (!n.data.trim() || !e.checkVisibility({ visibilityProperty: true }) || e.closest(".hidden, .skip, noscript, script, option, :disabled")) continue;
		let faint = 1;
		for (let p = e; p; p = p.parentElement) faint *= Number(getComputedStyle(p).opacity);
		const back = behind(e), ink = rgba(style.color), front = over([ink[0], ink[1], ink[2], ink[3] * faint], back);
		const [a, c] = [lum(front), lum(back)].sort((x, y) => y - x), ratio = (a + 0.05) / (c + 0.05);
		if (ratio < 4.5) bad.add(ratio.toFixed(2) + " " + (e.className || e.tagName) + ": " + n.data.trim().slice(0, 30));
	}
	return [...bad].join("\n");
})()`

// wider gives what reaches beyond the screen's right edge and is not meant to be scrolled.
const wider = `(() => {
	const width = document.documentElement.clientWidth;
	const out = document.documentElement.scrollWidth > width ? ["the page is " + document.documentElement.scrollWidth + " wide, the screen " + width] : [];
	for (const e of document.querySelectorAll("main *")) {
		if (!e.closest(".log, .hidden, .cut") && e.checkVisibility() && e.getBoundingClientRect().right > width + 1) out.push((e.id || e.className || e.tagName) + " reaches to " + Math.round(e.getBoundingClientRect().right));
	}
	return out.join("\n");
})()`

// TestPagesFitAndCanBeRead shows every page in every state on a phone and on a desk, in light and
// dark.
func TestPagesFitAndCanBeRead(t *testing.T) {
	t.Parallel()
	f := setup(t)
	b := f.browser()
	b.open("/login?next=/")
	looks := func(name string, ready string) {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int64{390, 1280} {
				b.screen(width, 844, scheme)
				b.until(ready)
				at := fmt.Sprintf("%s-%s-%d", name, scheme, width)
				b.shot(at)
				if faults := eval[string](b, unreadable); faults != "" {
					t.Errorf("%s, too faint:\n%s", at, faults)
				}
				if faults := eval[string](b, wider); faults != "" {
					t.Errorf("%s, too wide:\n%s", at, faults)
				}
			}
		}
	}
	looks("login", `document.querySelector("#key")`)
	b.do(chromedp.SendKeys("#key", "not-the-key-0123456789"), chromedp.Click("form button.primary"))
	b.until(`document.querySelector(".fault")`)
	looks("refused", `document.querySelector(".fault")`)
	b.login("/")
	looks("empty", `document.querySelector(".empty")`)
	ids := f.everyState()
	pages := map[string]string{"list": "/", "missing": "/builds/nothing"}
	for state, id := range ids {
		pages[state] = "/builds/" + id
	}
	for name, path := range pages {
		b.open(path)
		ready := `document.querySelector("main")`
		if ids[name] != "" {
			ready = `document.querySelectorAll("#rows .row").length > 5 && ![...document.querySelectorAll("#rows .text")].some(e => e.textContent === "…")`
		}
		looks(name, ready)
	}
	b.screen(390, 844, "light")
	b.open(pages["failed"])
	b.until(`document.querySelector("#rows .row")`)
	if fault := eval[[]int](b, `(e => [e.scrollHeight, e.clientHeight])(document.getElementById("error"))`); fault[0] < 700 || fault[1] > 150 {
		t.Errorf("a long error takes %d of %d pixels, want its lines kept and the log in sight", fault[1], fault[0])
	}
}

// everyState submits a build for each state, with names and logs that are hard to fit, and gives
// their ids.
func (f *farm) everyState() map[string]string {
	f.t.Helper()
	ids := map[string]string{}
	long := "a-project-whose-name-is-as-long-as-a-name-may-be-" + strings.Repeat("x", 50)
	for _, state := range []string{"pending", "queued", "building", "completed", "failed", "cancelled"} {
		id, _ := f.submit()
		ids[state] = id
		f.scheduler.set(id, func(b *schedulerv1.Build) {
			b.State, b.Project, b.Attempt = state, "shop", 1
			b.Origin = &schedulerv1.Origin{Repository: "example/shop", Branch: "feature/" + strings.Repeat("long-", 12), Commit: strings.Repeat("0123456789", 4)}
			switch state {
			case "building":
				b.Stage, b.WorkerName, b.StartedAtMs = "compile", "mac-mini-in-the-attic-3", time.Now().Add(-90*time.Second).UnixMilli()
			case "completed":
				b.Project, b.StartedAtMs, b.FinishedAtMs = long, time.Now().Add(-90*time.Second).UnixMilli(), time.Now().UnixMilli()
			case "failed":
				b.Error = "compile failed with exit code 65: " + strings.Repeat("/Users/builder/very/long/path/", 8) + " no such module 'ExpoModulesCore'" +
					strings.Repeat("\nnote: in file included from here", 40)
			}
		})
		lines := []string{"Build submitted", "", "\x1b[1mbold\x1b[0m \x1b[2mdim\x1b[0m \x1b[3mitalic\x1b[0m \x1b[4munderlined\x1b[0m \x1b[7minverse\x1b[0m", "plain " + strings.Repeat("and long ", 60)}
		for c := range 8 {
			lines = append(lines, fmt.Sprintf("\x1b[%dmcolour %d\x1b[0m \x1b[%dmbright\x1b[0m \x1b[%dmbehind\x1b[0m \x1b[%dmbright behind\x1b[0m", 30+c, c, 90+c, 40+c, 100+c))
		}
		f.say(id, state != "building" && state != "pending" && state != "queued", lines...)
	}
	return ids
}

// TestAFreshListKeepsTheKeyboardWhereItWas: the list is replaced every five seconds, and a focus
// that got lost begins at the top.
func TestAFreshListKeepsTheKeyboardWhereItWas(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, _ := f.submit()
	f.submit()
	b := f.browser()
	b.login("/")
	link := fmt.Sprintf(`document.querySelector('a[href="/builds/%s"]')`, id)
	b.until(link)
	eval[bool](b, `(window.before = document.getElementById("builds"), `+link+`.focus(), true)`)
	b.until(`document.getElementById("builds") !== before`)
	b.until(`document.activeElement === ` + link)
}
