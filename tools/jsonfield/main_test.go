package main

import (
	"strings"
	"testing"
)

func TestField(t *testing.T) {
	t.Parallel()
	const object = `{"id":"b-1","result":{"size":12345678901}}`
	tests := []struct{ field, want string }{
		{"id", "b-1\n"},
		{"result.size", "12345678901\n"},
	}
	for _, tt := range tests {
		var out strings.Builder
		if err := run([]string{tt.field}, strings.NewReader(object), &out); err != nil || out.String() != tt.want {
			t.Errorf("run(%s) = %q, %v, want %q", tt.field, out.String(), err, tt.want)
		}
	}
	for _, field := range []string{"name", "id.x", "result.size.x"} {
		var out strings.Builder
		if err := run([]string{field}, strings.NewReader(object), &out); err == nil {
			t.Errorf("run(%s) = %q, want an error", field, out.String())
		}
	}
}
