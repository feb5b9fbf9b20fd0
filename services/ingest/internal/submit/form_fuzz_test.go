package submit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/sync/semaphore"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// FuzzForm: whatever comes as a submit's form, it is a whole submission or refused by a client's
// error, and the memory that its certs took is given back.
func FuzzForm(f *testing.F) {
	const head = "--b\r\nContent-Disposition: form-data; name="
	for _, seed := range []string{
		head + "\"platform\"\r\n\r\nios\r\n" + head + "\"source\"; filename=\"a.zip\"\r\n\r\nPK\r\n--b--\r\n",
		head + "\"certs\"; filename=\"c.p12\"\r\n\r\nxx\r\n" + head + "\"profile\"; filename=\"p\"\r\n\r\ny\r\n--b--",
		head + "\"priority\"\r\n\r\n-99999999999\r\n" + head + "\"upload\"\r\n\r\nu1\r\n--b--\r\n",
		head + "\"source\"; filename*=UTF-8''%e2%82%ac\r\n\r\n",
		head + "\"platform\"\r\n\r\nios\r\n" + head + "\"project\"\r\n\r\ncaf\xe9\x00\r\n" + head + "\"upload\"\r\n\r\nu1\r\n--b--\r\n", "--b", "--b--", "", "\r\n--b\r\n\r\n\r\n--b--",
	} {
		f.Add([]byte(seed), "multipart/form-data; boundary=b", true)
	}
	f.Add([]byte(""), "multipart/form-data; boundary=\"", false)
	f.Fuzz(func(t *testing.T, data []byte, contentType string, second bool) {
		memory := CertsMemory{semaphore.NewWeighted(maxProfile + 100), 100}
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(data))
		r.Header.Set("Content-Type", contentType)
		s := &submission{fields: map[string]string{}, signing: signingFiles{memory: memory}}
		say := map[bool]httpapi.Dialect{false: httpapi.V1, true: httpapi.V2}[second]
		form, err := (&Service{}).openForm(r, httpapi.NewBody(httptest.NewRecorder(), r, 1<<20), say, s)
		if err == nil {
			form.store = func(part *multipart.Part) (*eventsv1.ObjectRef, error) {
				n, err := io.Copy(io.Discard, part)
				if err != nil {
					return nil, httpapi.BodyError(err)
				}
				return &eventsv1.ObjectRef{ObjectId: "o", Size: n}, nil
			}
			err = form.read()
		}
		s.signing.drop()
		if !memory.TryAcquire(maxProfile + 100) {
			t.Error("memory of certs is not given back")
		}
		if err := judge(s, err); err != nil {
			t.Errorf("%q of type %q: %v", data, contentType, err)
		}
	})
}

// judge wants a submission that is complete, or a refusal of the client's doing.
func judge(s *submission, err error) error {
	if err != nil {
		if errors.Is(err, build.ErrInvalid) || errors.Is(err, build.ErrTooLarge) {
			return nil
		}
		return fmt.Errorf("ended with %w", err)
	}
	if _, err := build.ParsePlatform(s.fields["platform"]); err != nil {
		return fmt.Errorf("accepted without a platform: %w", err)
	}
	// What was accepted goes to the scheduler: it must be packed, and stored.
	for name, value := range s.fields {
		if err := text.Check(value); err != nil {
			return fmt.Errorf("accepted with field %s = %q: %w", name, value, err)
		}
	}
	if (s.source == nil) == (s.fields["upload"] == "") {
		return fmt.Errorf("accepted with source %v and upload %q", s.source, s.fields["upload"])
	}
	return nil
}
