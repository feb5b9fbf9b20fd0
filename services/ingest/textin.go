package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// requireText refuses requests whose path, query or headers have bytes that are no text: they name something, and nothing has
// such a name.
func (g *Ingest) requireText(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if what := oddPart(r); what != "" {
			dialectOf(r.URL.Path).refuse(w, r, http.StatusBadRequest, build.Code(build.ErrInvalid),
				"The "+what+" has bytes that are not UTF-8 text. Send text as UTF-8, without NUL")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// oddPart names the part of a request that is no text; "" if all of it is.
func oddPart(r *http.Request) string {
	if !text.Valid(r.URL.Path) {
		return "path"
	}
	if r.URL.RawQuery != "" {
		for name, values := range r.URL.Query() {
			for _, v := range append(values, name) {
				if !text.Valid(v) {
					return "query"
				}
			}
		}
	}
	for _, name := range []string{workerHeader, buildHeader} {
		if text.Check(r.Header.Get(name)) != nil {
			return "header " + name
		}
	}
	return ""
}

// decodeJSON decodes one JSON object and refuses what follows it. Strings have no NUL afterwards.
func decodeJSON(body io.Reader, v any, strict bool) error {
	data, err := io.ReadAll(body)
	dec := json.NewDecoder(bytes.NewReader(cleanJSON(data)))
	if strict {
		dec.DisallowUnknownFields()
	}
	if err == nil {
		err = dec.Decode(v)
	}
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		return refuse(build.ErrInvalid, "The body is not the JSON object expected: %s", text.Line(err.Error()))
	}
	return nil
}

// cleanJSON replaces in place each escape that stands for NUL. Package json replaces invalid UTF-8 when it decodes.
func cleanJSON(data []byte) []byte {
	const nul, replacement = `\u0000`, `\ufffd`
	if !bytes.Contains(data, []byte(nul)) {
		return data
	}
	for i := 0; i+1 < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		if bytes.HasPrefix(data[i:], []byte(nul)) {
			copy(data[i:], replacement)
		}
		i++ // what is escaped begins no escape
	}
	return data
}
