package jsonfile_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
)

const bom = "\ufeff"

func TestUnmarshalIgnoresAByteOrderMark(t *testing.T) {
	t.Parallel()
	var pkg struct{ Name string }
	if err := jsonfile.Unmarshal("package.json", []byte(bom+`{"name": "app"}`), &pkg); err != nil || pkg.Name != "app" {
		t.Errorf("Unmarshal with a mark = %q, %v", pkg.Name, err)
	}
	if err := jsonfile.Unmarshal5("app.json", []byte(bom+"{name: 'five',}"), &pkg); err != nil || pkg.Name != "five" {
		t.Errorf("Unmarshal5 with a mark = %q, %v", pkg.Name, err)
	}
}

// The table holds what npm json5 2.2.3, the reference implementation, says of each input.
func TestJSON5AgreesWithTheReference(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/json5.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		In, Want string
		Bad      bool
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) < 90 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, tt := range cases {
		v, err := jsonfile.Parse5("x", []byte(tt.In))
		if tt.Bad {
			if err == nil {
				t.Errorf("%q was accepted", tt.In)
			}
			continue
		}
		if got := describe(t, v); err != nil || got != tt.Want {
			t.Errorf("%q = %s, %v, want %s", tt.In, got, err, tt.Want)
		}
	}
}

// describe writes a value as JavaScript does; a number alone may be one that JSON does not have.
func describe(t *testing.T, v jsonfile.Value) string {
	t.Helper()
	switch {
	case v.Kind != jsonfile.Number:
		var plain any
		data, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(data, &plain)
		}
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(plain); err != nil {
			t.Fatal(err)
		}
		return strings.NewReplacer(`\u2028`, "\u2028").Replace(strings.TrimSpace(b.String()))
	case math.IsInf(v.Number, 0):
		return strings.TrimPrefix(strconv.FormatFloat(v.Number, 'f', -1, 64), "+") + "inity"
	}
	return strconv.FormatFloat(v.Number, 'f', -1, 64)
}

func TestErrorsNameThePlace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, data, want string }{
		{"missing comma", "{\n\t\"name\": \"ä\" \"x\": 1\n}", "f.json:2:14: unexpected '\"', want \",\" or \"}\"\n" +
			"    2 | \t\"name\": \"ä\" \"x\": 1\n      | \t            ^"},
		{"Windows", bom + "{\r\n  a: }\r\n", "f.json:2:6: unexpected '}', want a value\n    2 |   a: }\n      |      ^"},
		{"end", "{\n  a: 1", "f.json:2:7: the file ends here, want \",\" or \"}\"\n    2 |   a: 1\n      |       ^"},
		{"type", "{\n  // c\n  name: 5,\n}", "f.json:3:9: \"Name\" is a number, want text\n    3 |   name: 5,\n      |         ^"},
		{"type of JSON", "{\n  \"name\": 5\n}", "f.json:2:11: \"Name\" is a number, want text\n    2 |   \"name\": 5\n      |           ^"},
	} {
		var v struct{ Name string }
		err := jsonfile.Unmarshal5("f.json", []byte(tt.data), &v)
		if err == nil {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		if d := cmp.Diff(tt.want, err.Error()); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	var v any
	err := jsonfile.Unmarshal("package.json", []byte("{\n  \"a\": 1,\n}\n"), &v)
	syntax, ok := errors.AsType[*jsonfile.SyntaxError](err)
	if !ok || syntax.Line != 3 || syntax.Column != 1 || syntax.File != "package.json" {
		t.Errorf("strict JSON: %+v", syntax)
	}
	if err := jsonfile.Unmarshal("package.json", []byte("{\"a\": 1\n\n"), &v); err == nil || !strings.HasPrefix(err.Error(), "package.json:1:8:") {
		t.Errorf("end of strict JSON: %v", err)
	}
}

func TestLongLineIsCutAroundTheColumn(t *testing.T) {
	t.Parallel()
	line := strings.Repeat("x", 500) + "!" + strings.Repeat("y", 500)
	frame := strings.Split(jsonfile.ErrorAt("f", []byte(line), 500, "bad").Frame(), "\n")
	if len(frame) != 2 || len(frame[0]) > 140 || frame[0][strings.IndexByte(frame[1], '^')] != '!' {
		t.Errorf("frame = %q", frame)
	}
}

func TestOrderOfKeys(t *testing.T) {
	t.Parallel()
	v, err := jsonfile.Parse("f", []byte(`{"b":1,"10":2,"a":3,"9":4,"b":5,"01":6,"4294967295":7}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range v.Ordered() {
		got = append(got, m.Key+"="+m.Value.Text)
	}
	want := []string{"9=4", "10=2", "b=5", "a=3", "01=6", "4294967295=7"} // what JavaScript enumerates
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if b, ok := v.Get("b"); !ok || b.Number != 5 {
		t.Errorf("Get of a duplicate = %+v, want the last", b)
	}
}

func TestDeepNestingIsRefused(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 1_000_000)
	if _, err := jsonfile.Parse5("f", []byte(deep)); err == nil || !strings.Contains(err.Error(), "levels deep") {
		t.Errorf("error = %.100v", err)
	}
}

func FuzzParse5(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,null,true,"\u00e4\n"]}`, "{a:'b',/*c*/d:+0x1F,}", "//\n[Infinity]", bom + "'\\\n'", "{\\u0061:.5}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := jsonfile.Parse5("f", data)
		if err != nil {
			if syntax, ok := errors.AsType[*jsonfile.SyntaxError](err); !ok || syntax.Line < 1 || syntax.Column < 1 {
				t.Errorf("error without a place: %v", err)
			}
		} else if out, err := v.MarshalJSON(); err != nil || !json.Valid(out) {
			t.Errorf("%q is written as %q, %v", data, out, err)
		}
		var strict any
		valid := json.Unmarshal(jsonfile.StripMark(data), &strict) == nil
		if valid && err != nil {
			t.Errorf("%q is JSON: %v", data, err)
		}
	})
}
