package submit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"time"

	"golang.org/x/sync/semaphore"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/signing"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

const (
	// maxProfile bounds a provisioning profile that is sent beside the certs; those of large teams have some 300 KB.
	maxProfile = 1 << 20
	// certsWait is how long a request waits for memory before it is told to come again.
	certsWait = time.Minute
	// certsTime bounds the arrival of each part as a whole: it takes memory that others wait for.
	certsTime = 5 * time.Minute
)

// CertsMemory bounds what the certs of all requests take together, in bytes.
type CertsMemory struct {
	*semaphore.Weighted
	// each is the largest certs file.
	each int64
}

// NewCertsMemory returns room for so many submits whose certificates have maxBytes.
func NewCertsMemory(atOnce int, maxBytes int64) CertsMemory {
	return CertsMemory{semaphore.NewWeighted(int64(atOnce) * (maxBytes + maxProfile)), maxBytes}
}

// Reserve waits for n bytes.
func (m CertsMemory) Reserve(ctx context.Context, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, certsWait)
	defer cancel()
	if err := m.Acquire(ctx, n); err != nil {
		return fmt.Errorf("%w: memory for certs: %w", build.ErrUnavailable, err)
	}
	return nil
}

// signingFiles are the certs and the profile of one submit. They are held in memory since they may come in any order and
// are stored as one bundle.
type signingFiles struct {
	memory         CertsMemory
	held           int64
	certs, profile []byte
	certsName      string
}

// readCerts takes the certs in.
func (f *signingFiles) readCerts(ctx context.Context, part *multipart.Part) (err error) {
	if err := f.reserve(ctx); err != nil {
		return err
	}
	f.certsName = part.FileName()
	if f.certs, err = readFile(part, f.memory.each, httpapi.MsgCertsLarge); err == nil {
		f.shrink(f.memory.each, f.certs)
	}
	return err
}

// readProfile takes a provisioning profile in.
func (f *signingFiles) readProfile(ctx context.Context, part *multipart.Part) (err error) {
	if err := f.reserve(ctx); err != nil {
		return err
	}
	if f.profile, err = readFile(part, maxProfile, httpapi.MsgProfileLarge); err == nil {
		f.shrink(maxProfile, f.profile)
	}
	return err
}

// reserve asks once, for both files: who held memory while waiting for more could wait for another that does the same.
func (f *signingFiles) reserve(ctx context.Context) error {
	if f.held > 0 {
		return nil
	}
	need := f.memory.each + maxProfile
	if err := f.memory.Reserve(ctx, need); err != nil {
		return err
	}
	f.held = need
	return nil
}

// shrink gives back what a file that has arrived did not need.
func (f *signingFiles) shrink(reserved int64, file []byte) {
	spare := reserved - min(reserved, int64(cap(file)))
	f.memory.Release(spare)
	f.held -= spare
}

// drop forgets the files.
func (f *signingFiles) drop() {
	f.memory.Release(f.held)
	f.certs, f.profile, f.held = nil, nil, 0
}

// smallFile is what certs usually fit into, in bytes.
const smallFile = 64 << 10

// readFile reads a file of at most limit bytes; it is not nil, even if the file is empty. One that is not small gets all the
// memory at once that it may need: growing would take as much again.
func readFile(part *multipart.Part, limit int64, msgTooLarge string) ([]byte, error) {
	in := &timedReader{Reader: part, until: time.Now().Add(certsTime)}
	data := make([]byte, min(smallFile, limit+1))
	n, err := io.ReadFull(in, data)
	if err == nil {
		data = append(make([]byte, 0, limit+1), data...)[:limit+1]
		var more int
		more, err = io.ReadFull(in, data[n:])
		n += more
	}
	switch {
	case err == nil:
		return nil, &httpx.Refusal{Kind: build.ErrTooLarge, Sentence: msgTooLarge, Detail: fmt.Sprintf("the limit is %d MB", limit>>20)}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && in.ended:
		return data[:n], nil
	case errors.Is(err, httpx.ErrStalled):
		return nil, err
	}
	return nil, httpapi.BodyError(err)
}

// timedReader gives up after its time; a read that waits is ended by the body's own deadline.
type timedReader struct {
	io.Reader
	until time.Time
	// ended: the file did, and not the form within it.
	ended bool
}

func (h *timedReader) Read(p []byte) (int, error) {
	if time.Now().After(h.until) {
		return 0, fmt.Errorf("read certs for %s: %w", certsTime, httpx.ErrStalled)
	}
	n, err := h.Reader.Read(p)
	h.ended = h.ended || errors.Is(err, io.EOF) // a file that is cut ends with io.ErrUnexpectedEOF
	return n, err
}

// storeCerts checks the certs of a submit and stores them as one bundle. A profile without certs means nothing.
func (v *Service) storeCerts(ctx context.Context, s *submission) error {
	if s.signing.certs == nil {
		return nil
	}
	bundle, err := signing.Pack(s.signing.certs, s.signing.profile)
	if err != nil {
		return CertsError(err)
	}
	s.certs, err = v.Objects.Upload(ctx, s.AddObject, &artifactv1.UploadRequest{
		BuildId: s.BuildID, Kind: artifactv1.Kind_KIND_CERTS, Project: s.fields["project"], Name: s.signing.certsName,
	}, bytes.NewReader(bundle))
	if errors.Is(err, build.ErrTooLarge) {
		return &httpx.Refusal{Kind: build.ErrTooLarge, Sentence: httpapi.MsgCertsLarge, Detail: err.Error()}
	}
	return err
}

// CertsError tells the submitter what is wrong with the certs; what is no fault of theirs stays an error of ours.
func CertsError(err error) error {
	for _, a := range []struct{ is, kind error }{
		{signing.ErrTooLarge, build.ErrTooLarge},
		{signing.ErrNoIdentity, httpapi.ErrUnprocessable},
		{signing.ErrFormat, build.ErrBadArchive},
		{signing.ErrDamaged, build.ErrBadArchive},
		{signing.ErrUnsafe, build.ErrBadArchive},
	} {
		if errors.Is(err, a.is) {
			return httpx.Refuse(a.kind, "%s", sentenceCase(err.Error()))
		}
	}
	return err
}

// sentenceCase begins a text with a capital letter.
func sentenceCase(s string) string {
	if s != "" && s[0] >= 'a' && s[0] <= 'z' {
		return string(s[0]-'a'+'A') + s[1:]
	}
	return s
}
