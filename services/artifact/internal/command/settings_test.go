package command

import (
	"reflect"
	"strings"
	"testing"
)

// TestUsageNamesEveryVariable keeps the help in step with the settings.
func TestUsageNamesEveryVariable(t *testing.T) {
	t.Parallel()
	fields := reflect.TypeFor[settings]()
	for i := range fields.NumField() {
		name, _, _ := strings.Cut(fields.Field(i).Tag.Get("env"), ",")
		if strings.Contains(usage, name) {
			continue
		}
		last := name[strings.LastIndex(strings.TrimSuffix(strings.TrimSuffix(name, "_MB"), "_FILE"), "_"):]
		if !strings.Contains(usage, ", "+last) {
			t.Errorf("the usage does not name %s (nor %q)", name, last)
		}
	}
}
