package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// Time formats milliseconds since 1970 as both APIs do; 0 is an absent time and empty.
func Time(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}

// MaxBody bounds a JSON body, in bytes.
const MaxBody = 1 << 20

// ReadJSON decodes one JSON object into v and refuses what follows it.
func ReadJSON(w http.ResponseWriter, r *http.Request, v any) error {
	return DecodeJSON(NewBody(w, r, MaxBody), v, false)
}

// ReadStrict is ReadJSON without unknown fields: a misspelt setting would be ignored.
func ReadStrict(w http.ResponseWriter, r *http.Request, v any) error {
	return DecodeJSON(NewBody(w, r, MaxBody), v, true)
}

// DecodeJSON decodes one JSON object and refuses what follows it. Its strings have no NUL
// afterwards.
func DecodeJSON(body io.Reader, v any, strict bool) error {
	data, err := io.ReadAll(body)
	dec := json.NewDecoder(bytes.NewReader(CleanJSON(data)))
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
		return httpx.Refuse(build.ErrInvalid, "The body is not the JSON object expected: %s", text.Line(err.Error()))
	}
	return nil
}

// CleanJSON replaces each escape of NUL in place. Package json replaces invalid UTF-8 when it
// decodes.
func CleanJSON(data []byte) []byte {
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
		i++ // an escaped character begins no escape
	}
	return data
}

// Attachment returns the value of a Content-Disposition header that names the file. API v1 promises
// the quotes.
func Attachment(name string) string {
	for _, c := range name {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return mime.FormatMediaType("attachment", map[string]string{"filename": name})
		}
	}
	return `attachment; filename="` + name + `"`
}
