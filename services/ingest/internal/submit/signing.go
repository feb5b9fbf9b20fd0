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
	// maxProfile bounds a provisioning profile that is sent beside the certs; those of large teams
	// have some 300 KB.
	maxProfile = 1 << 20
	// certsWait is how long a request waits for memory before it is told to come again.
	certsWait = time.Minute
	// certsTime bounds the arrival of each part as a whole: it takes memory that others wait for.
	certsTime = 5 * time.Minute
)

// CertsMemory bounds the memory of the certificates of all requests, in bytes.
type CertsMemory struct {
	*semaphore.Weighted
	// each is the largest certs file.
	each int64
}

// NewCertsMemory returns the memory for atOnce submits with certificates of maxBytes.
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

// signingFiles are the certs and the profile of one submit. They are held in memory since they may
// come in any order and are stored as one bundle.
type signingFiles struct {
	memory         CertsMemory
	held           int64
	certs, profile []byte
	certsName      string
}

// readCerts reads the certificates.
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

// readProfile reads the provisioning profile.
func (f *signingFiles) readProfile(ctx context.Context, part *multipart.Part) (err error) {
	if err := f.reserve(ctx); err != nil {
		return err
	}
	if f.profile, err = readFile(part, maxProfile, httpapi.MsgProfileLarge); err == nil {
		f.shrink(maxProfile, f.profile)
	}
	return err
}

// reserve reserves the memory of both files at once. Reserving one after the other could deadlock.
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

// shrink releases the memory that a file did not need.
func (f *signingFiles) shrink(reserved int64, file []byte) {
	spare := reserved - min(reserved, int64(cap(file)))
	f.memory.Release(spare)
	f.held -= spare
}

// drop releases the files.
func (f *signingFiles) drop() {
	f.memory.Release(f.held)
	f.certs, f.profile, f.held = nil, nil, 0
}

// smallFile is the initial buffer size, in bytes. Most certificates fit.
const smallFile = 64 << 10

// readFile reads a file of at most limit bytes. The result is not nil, even for an empty file. A
// file that is not small gets a buffer of the limit at once, since growing would need as much
// again.
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

// timedReader fails after its deadline. The deadline of the body ends reads that block.
type timedReader struct {
	io.Reader
	until time.Time
	// ended means that the file ended, and not the form within it.
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

// storeCerts checks the certs of a submit and stores them as one bundle. A profile without certs
// means nothing.
func (v *Service) storeCerts(ctx context.Context, s *submission) error {
	if s.signing.certs == nil {
		return nil
	}
	bundle, err := signing.Pack(s.signing.certs, s.signing.profile)
	if err != nil {
		return CertsError(err)
	}
	s.notes = certsNotes(s.signing.certs)
	s.certs, err = v.Objects.Upload(ctx, s.AddObject, &artifactv1.UploadRequest{
		BuildId: s.BuildID, Kind: artifactv1.Kind_KIND_CERTS, Project: s.fields["project"], Name: s.signing.certsName,
	}, bytes.NewReader(bundle))
	if errors.Is(err, build.ErrTooLarge) {
		return &httpx.Refusal{Kind: build.ErrTooLarge, Sentence: httpapi.MsgCertsLarge, Detail: err.Error()}
	}
	return err
}

// certsNotes returns the warnings about certs that were accepted. A bare PKCS#12 file has none.
func certsNotes(certs []byte) []string {
	b, err := signing.Read(certs)
	if err != nil {
		return nil
	}
	return b.Warnings
}

// CertsError returns the refusal for faulty certificates. It returns other errors unchanged.
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
