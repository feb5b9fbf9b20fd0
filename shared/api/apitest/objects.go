package apitest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// incoming is an upload in chunks. Its bytes are inspected as they come; those of a PutGrant are kept.
type incoming struct {
	at   int64
	kept *bytes.Buffer
	pipe *io.PipeWriter
	// inspected gets what was in it when it is complete.
	inspected chan contents
	whole     *contents
}

// contents of an upload.
type contents struct {
	object  *api.Object
	entries []string
	err     error
}

func newIncoming(name string, keep bool) *incoming {
	pr, pw := io.Pipe()
	a := &incoming{pipe: pw, inspected: make(chan contents, 1)}
	r := io.Reader(pr)
	if keep {
		a.kept = &bytes.Buffer{}
		r = io.TeeReader(pr, a.kept)
	}
	go func() {
		object, entries, err := inspect(r, name)
		a.inspected <- contents{object, entries, err}
	}()
	return a
}

// append adds a whole chunk.
func (a *incoming) append(data []byte, last bool) error {
	if _, err := a.pipe.Write(data); err != nil {
		return err
	}
	a.at += int64(len(data))
	if !last {
		return nil
	}
	a.pipe.Close()
	f := <-a.inspected
	a.whole = &f
	return f.err
}

func (s objects) routes(mux *http.ServeMux) {
	mux.HandleFunc("POST "+api.Path+"/uploads", key(s.newUpload))
	mux.HandleFunc("GET "+api.ObjectsPath, s.getObject)
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodHead} {
		mux.HandleFunc(method+" "+api.ObjectsPath, s.writeObject)
	}
}

// MaxSource sets the size of the largest source that the server says it takes. It does not check it.
func (s *state) MaxSource(bytes int64) { s.maxSource.Store(bytes) }

func (s objects) newUpload(w http.ResponseWriter, r *http.Request) {
	var req api.NewUpload
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrInvalid), err.Error())
		return
	}
	id := build.NewID()
	s.change(func() { s.uploads[id] = newIncoming(req.Name, false) })
	answer(w, http.StatusCreated, api.Upload{
		ID: id, URL: api.ObjectsPath, Headers: map[string]string{api.TicketHeader: id}, MaxBytes: cmp.Or(s.maxSource.Load(), 1<<40),
	})
}

// PutGrant returns the right to write an object; Stored reads it back.
func (s *state) PutGrant() api.Grant {
	ticket := build.NewID()
	s.change(func() { s.uploads[ticket] = newIncoming("", true) })
	return api.Grant{Method: http.MethodPut, URL: api.ObjectsPath, Headers: map[string]string{api.TicketHeader: ticket}}
}

// Stored is what was put with a grant.
func (s *state) Stored(g api.Grant) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uploads[g.Headers[api.TicketHeader]].kept.Bytes()
}

// writeObject is PUT, PATCH and, for what is being uploaded, HEAD. Of a request that is cut nothing is kept.
func (s objects) writeObject(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	ticket := r.Header.Get(api.TicketHeader)
	a := s.uploads[ticket]
	s.mu.Unlock()
	if a == nil || r.Header.Get("X-API-Key") != "" { // the server of the bytes must not see a key
		Refuse(w, http.StatusForbidden, build.Code(build.ErrUnauthorized), "the ticket is not valid")
		return
	}
	var data []byte
	if r.Method != http.MethodHead {
		data = make([]byte, min(r.ContentLength, api.AppendBytes))
		if _, err := io.ReadFull(r.Body, data); err != nil {
			Refuse(w, http.StatusBadRequest, "upload_cut", fmt.Sprintf("the upload was cut off: %v", err))
			return
		}
	}
	s.change(func() { a.write(w, r, data, ticket) })
}

func (a *incoming) write(w http.ResponseWriter, r *http.Request, data []byte, ticket string) {
	last := r.Method == http.MethodPut || r.Header.Get(api.CompleteHeader) == api.Complete
	offset, _ := strconv.ParseInt(r.Header.Get(api.OffsetHeader), 10, 64)
	repeat := a.whole != nil && last && offset+int64(len(data)) == a.at
	if r.Method != http.MethodHead && !repeat {
		if offset != a.at {
			w.Header().Set(api.OffsetHeader, strconv.FormatInt(a.at, 10))
			Refuse(w, http.StatusConflict, api.CodeOffset, "the upload is elsewhere")
			return
		}
		if err := a.append(data, last); err != nil {
			Refuse(w, http.StatusInternalServerError, "internal", err.Error())
			return
		}
	}
	w.Header().Set(api.OffsetHeader, strconv.FormatInt(a.at, 10))
	if r.Method == http.MethodHead || !last {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, http.StatusOK, api.Uploaded{ObjectID: ticket, Size: a.whole.object.Size, SHA256: a.whole.object.SHA256})
}

// Grant returns the right to read data.
func (s *state) Grant(data []byte) api.Grant {
	ticket := build.NewID()
	s.change(func() { s.objects[ticket] = data })
	return api.Grant{Method: http.MethodGet, URL: api.ObjectsPath, Headers: map[string]string{api.TicketHeader: ticket}}
}

func (s objects) getObject(w http.ResponseWriter, r *http.Request) {
	data, ok := s.object(w, r)
	if ok {
		serve(w, r, data, Object("", data).SHA256)
	}
}

func (s objects) object(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	s.mu.Lock()
	data, ok := s.state.objects[r.Header.Get(api.TicketHeader)]
	s.mu.Unlock()
	if r.Header.Get("X-API-Key") != "" { // the server of the bytes must not see a key
		ok = false
	}
	if !ok {
		Refuse(w, http.StatusForbidden, build.Code(build.ErrUnauthorized), "the ticket is not valid")
	}
	return data, ok
}
