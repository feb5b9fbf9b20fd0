package limit_test

import (
	"testing"

	loglimit "github.com/expo-free-agent/freeagent/shared/buildlog/limit"
)

func TestLimitIsForPeople(t *testing.T) {
	t.Parallel()
	for in, want := range map[loglimit.Limit]string{
		{}:                           "2,000,000 lines or 200 MB",
		{Lines: 1, Bytes: 1}:         "1 line or 1 byte",
		{Lines: 999, Bytes: 1 << 10}: "999 lines or 1 kB",
		{Bytes: 1 << 20}:             "2,000,000 lines or 1 MB",
	} {
		if got := in.OrDefault().String(); got != want {
			t.Errorf("%+v = %q, want %q", in, got, want)
		}
	}
	want := "✂ This log has reached its limit (10 lines or 200 MB). What follows is left out."
	if got := (loglimit.Limit{Lines: 10}).OrDefault().Reached("What follows is left out."); got != want {
		t.Errorf("Reached = %q, want %q", got, want)
	}
}
