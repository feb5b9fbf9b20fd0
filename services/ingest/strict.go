package ingest

import "net/http"

// readStrict decodes a JSON object in which nothing is misspelt: a field that is not known would be a wish that is not heard.
func readStrict(w http.ResponseWriter, r *http.Request, v any) error {
	return decodeJSON(newBody(w, r, maxBody), v, true)
}
