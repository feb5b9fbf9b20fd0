package apitest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// Submission is a submit as it arrived. The source is inspected, not kept.
type Submission struct {
	Fields map[string]string
	// Source is the name, size and SHA-256 of what came, Entries what is in it if it is a tar.gz: directories end with a
	// slash, links say where they lead. Certs is nil if there were none.
	Source, Certs *api.Object
	Entries       []string
}

// Submissions lists the submits that arrived whole.
func (s *state) Submissions() []Submission {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.submissions)
}

func (s builds) submit(w http.ResponseWriter, r *http.Request) {
	sub, err := readForm(r)
	upload := sub.Fields["upload"]
	delete(sub.Fields, "upload")
	s.mu.Lock()
	if a := s.uploads[upload]; a != nil && a.whole != nil {
		sub.Source, sub.Entries = a.whole.object, a.whole.entries
	}
	id := s.submitted[upload]
	s.mu.Unlock()
	switch {
	case err != nil:
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrInvalid), "The upload ended early or is not a valid form")
		return
	case sub.Source == nil:
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrInvalid), "Source file required")
		return
	}
	f := sub.Fields
	b := api.Build{
		ID: id, Platform: f["platform"], Project: f["project"], Profile: f["profile"], Source: sub.Source,
		Repository: f["repository"], Commit: f["commit"], Branch: f["branch"],
		Settings: build.Settings{AppPath: f["app_path"], Modified: f["modified"] == "true", Username: f["username"], BuildNumber: f["build_number"], Requires: build.Requirements(f["requires"])},
	}
	if id == "" {
		b.ID = build.NewID()
		s.change(func() {
			b.BuildNumber = numbers(s).take(b.Project, b.Platform, b.BuildNumber)
			s.submissions = append(s.submissions, sub)
			if upload != "" {
				s.submitted[upload] = b.ID
			}
		})
	}
	s.accept(w, b)
}

func readForm(r *http.Request) (Submission, error) {
	sub := Submission{Fields: map[string]string{}}
	parts, err := r.MultipartReader()
	for err == nil {
		part, perr := parts.NextPart()
		if errors.Is(perr, io.EOF) {
			return sub, nil
		}
		if perr != nil {
			return sub, perr
		}
		switch {
		case part.FormName() == "source":
			sub.Source, sub.Entries, err = inspect(part, part.FileName())
		case part.FormName() == "certs":
			sub.Certs, _, err = inspect(part, part.FileName())
		default:
			var value []byte
			value, err = io.ReadAll(part)
			sub.Fields[part.FormName()] = string(value)
		}
	}
	return sub, err
}

// inspect hashes a stream, and lists its entries if it is a tar.gz, in little memory.
func inspect(r io.Reader, name string) (*api.Object, []string, error) {
	hash, n := sha256.New(), counter(0)
	tee := io.TeeReader(r, io.MultiWriter(hash, &n))
	entries := listEntries(tee)
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return nil, nil, err
	}
	return &api.Object{Name: name, Size: int64(n), SHA256: hex.EncodeToString(hash.Sum(nil))}, entries, nil
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func listEntries(r io.Reader) (entries []string) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil
	}
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if err != nil {
			return entries
		}
		if h.Linkname != "" {
			h.Name += " -> " + h.Linkname
		}
		entries = append(entries, h.Name)
	}
}

// download answers ranges as the gateway does.
func (s builds) download(w http.ResponseWriter, r *http.Request, b *record) {
	s.mu.Lock()
	result, object := b.result, b.Result
	status := b.Status
	s.mu.Unlock()
	if object == nil {
		Refuse(w, http.StatusConflict, "build_not_completed", "The build is "+status+" and has no result")
		return
	}
	w.Header().Set("Content-Disposition", `attachment; filename="`+object.Name+`"`)
	serve(w, r, result, object.SHA256)
}

func serve(w http.ResponseWriter, r *http.Request, data []byte, sum string) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("X-Checksum-Sha256", sum)
	w.Header().Set("Etag", `"`+sum+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}
