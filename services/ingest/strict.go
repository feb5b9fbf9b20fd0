package ingest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// readStrict decodes a JSON object in which nothing is misspelt: a field that is not known would be a wish that is not heard.
func readStrict(w http.ResponseWriter, r *http.Request, v any) error {
	dec := json.NewDecoder(newBody(w, r, maxBody))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object") //nolint:err113 // wrapped below
		}
	}
	if err != nil {
		return refuse(build.ErrInvalid, "The body is not the JSON object expected: %v", err)
	}
	return nil
}
