package retention

import "testing"

func TestUnits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"": 0, "0": 0, "30d": 2592000, "12h": 43200, "1d12h": 129600, "90m": 5400, "-1d": -1, "d": -1, "soon": -1, "1d-2h": -1, "99999999999d": -1} {
		got, err := parseAge("age", text)
		if want < 0 && err == nil || want >= 0 && (err != nil || got != want) {
			t.Errorf("parseAge(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]int64{"": 0, "1024": 1024, "5B": 5, "2K": 2048, "500M": 500 << 20, "50GiB": 50 << 30, "1 TiB": 1 << 40, "-5": -1, "50GB": -1, "GiB": -1, "9999999TiB": -1} {
		got, err := parseSize("size", text)
		if want < 0 && err == nil || want >= 0 && (err != nil || got != want) {
			t.Errorf("parseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for seconds, want := range map[int64]string{2592000: "30d", 43200: "12h", 5400: "1h30m", 129600: "36h", 90: "1m30s"} {
		if got := showAge(seconds); got != want {
			t.Errorf("showAge(%d) = %s, want %s", seconds, got, want)
		}
	}
}
