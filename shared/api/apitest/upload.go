package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// arriving is an upload in pieces. Its bytes are looked through as they come; those of a PutGrant are kept.
type arriving struct {
	at   int64
	kept *bytes.Buffer
	pipe *io.PipeWriter
	// found is what was in it, once it is complete.
	found chan found
	whole *found
}

type found struct {
	object  *api.Object
	entries []string
	err     error
}

func newArriving(name string, keep bool) *arriving {
	pr, pw := io.Pipe()
	a := &arriving{pipe: pw, found: make(chan found, 1)}
	r := io.Reader(pr)
	if keep {
		a.kept = &bytes.Buffer{}
		r = io.TeeReader(pr, a.kept)
	}
	go func() {
		object, entries, err := look(r, name)
		a.found <- found{object, entries, err}
	}()
	return a
}

// take appends a whole piece.
func (a *arriving) take(data []byte, last bool) error {
	if _, err := a.pipe.Write(data); err != nil {
		return err
	}
	a.at += int64(len(data))
	if !last {
		return nil
	}
	a.pipe.Close()
	f := <-a.found
	a.whole = &f
	return f.err
}

func (s *Server) newUpload(w http.ResponseWriter, r *http.Request) {
	var req api.NewUpload
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrInvalid), err.Error())
		return
	}
	id := build.NewID()
	s.change(func() { s.uploads[id] = newArriving(req.Name, false) })
	answer(w, http.StatusCreated, api.Upload{
		ID: id, URL: api.ObjectsPath, Headers: map[string]string{api.TicketHeader: id}, MaxBytes: 1 << 40,
	})
}

// PutGrant returns the right to write an object; Stored reads it back.
func (s *Server) PutGrant() api.Grant {
	ticket := build.NewID()
	s.change(func() { s.uploads[ticket] = newArriving("", true) })
	return api.Grant{Method: http.MethodPut, URL: api.ObjectsPath, Headers: map[string]string{api.TicketHeader: ticket}}
}

// Stored is what was put with a grant.
func (s *Server) Stored(g api.Grant) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uploads[g.Headers[api.TicketHeader]].kept.Bytes()
}

// writeObject is PUT, PATCH and, for what is being uploaded, HEAD. Of a request that is cut nothing is kept.
func (s *Server) writeObject(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	ticket := r.Header.Get(api.TicketHeader)
	a := s.uploads[ticket]
	s.mu.Unlock()
	if a == nil || r.Header.Get("X-API-Key") != "" { // a key is not for whoever serves the bytes
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

func (a *arriving) write(w http.ResponseWriter, r *http.Request, data []byte, ticket string) {
	last := r.Method == http.MethodPut || r.Header.Get(api.CompleteHeader) == api.Complete
	offset, _ := strconv.ParseInt(r.Header.Get(api.OffsetHeader), 10, 64)
	repeat := a.whole != nil && last && offset+int64(len(data)) == a.at
	if r.Method != http.MethodHead && !repeat {
		if offset != a.at {
			w.Header().Set(api.OffsetHeader, strconv.FormatInt(a.at, 10))
			Refuse(w, http.StatusConflict, api.CodeOffset, "the upload is elsewhere")
			return
		}
		if err := a.take(data, last); err != nil {
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
