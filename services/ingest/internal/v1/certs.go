package v1

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/objects"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/signing"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/submit"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// certs sends the certificates to the worker that holds the build (requireHolder). Caches must not
// store them.

func (h workers) certs(w http.ResponseWriter, r *http.Request) {
	b := heldBuild(r.Context())
	if b.GetCerts().GetObjectId() == "" {
		noCerts(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	h.Objects.Transfer(w, r, httpapi.V1, b.GetCerts().GetObjectId(), objects.File{Name: b.GetId() + "-certs.zip", ContentType: "application/zip"})
}

func noCerts(w http.ResponseWriter, r *http.Request) {
	httpapi.V1.Refuse(w, r, http.StatusNotFound, build.Code(build.ErrObjectNotFound), httpapi.MsgNoCertsHere)
}

// certsSecure sends the certificates as the installer in a VM imports them into its keychain.
func (h workers) certsSecure(w http.ResponseWriter, r *http.Request) {
	ctx, b := r.Context(), heldBuild(r.Context())
	if b.GetCerts().GetObjectId() == "" {
		noCerts(w, r)
		return
	}
	size := b.GetCerts().GetSize()
	if size > signing.MaxBytes {
		h.Fail(w, r, httpapi.V1, httpx.Refuse(build.ErrTooLarge, httpapi.MsgCertsLarge))
		return
	}
	if err := h.Certs.Reserve(ctx, size); err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	defer h.Certs.Release(size)
	data, err := h.Objects.ReadWhole(ctx, b.GetCerts())
	defer clear(data)
	if errors.Is(err, build.ErrObjectNotFound) {
		noCerts(w, r)
		return
	}
	if err != nil {
		h.Fail(w, r, httpapi.V1, err)
		return
	}
	bundle, err := signing.Read(data)
	if err != nil {
		h.Fail(w, r, httpapi.V1, submit.CertsError(err))
		return
	}
	h.Log.InfoContext(ctx, "signing material sent", "build_id", b.GetId(), "worker_id", b.GetWorkerId())
	h.sendSigning(w, r, bundle)
}

// keychainBytes is the size of the random password of a VM's keychain, in bytes.
const keychainBytes = 24

// piece is a part of an answer: text, or a file to be sent in base64.
type piece struct {
	text string
	file signing.File
}

// signingAnswer returns the JSON of certs-secure. It always has all four keys: the VM tests each.
func signingAnswer(b *signing.Bundle) (pieces []piece, length int) {
	var keychain [keychainBytes]byte
	_, _ = rand.Read(keychain[:]) // never fails
	pieces = []piece{
		{text: `{"p12":"`}, {file: b.Identity},
		{text: `","p12Password":` + quoted(b.Password) + `,"keychainPassword":"` + base64.StdEncoding.EncodeToString(keychain[:])},
		{text: `","provisioningProfiles":[`},
	}
	comma := ""
	for _, p := range b.Profiles {
		pieces = append(pieces, piece{text: comma + `"`}, piece{file: p}, piece{text: `"`})
		comma = ","
	}
	pieces = append(pieces, piece{text: "]}\n"})
	for _, p := range pieces {
		length += len(p.text) + base64.StdEncoding.EncodedLen(int(p.file.Size))
	}
	return pieces, length
}

func quoted(s string) string {
	data, err := json.Marshal(s)
	if err != nil { // a string always marshals
		panic(err)
	}
	return string(data)
}

// sendSigning unpacks the checked bundle as it sends it, since unpacked it may be five times as
// large.
func (h workers) sendSigning(w http.ResponseWriter, r *http.Request, b *signing.Bundle) {
	pieces, length := signingAnswer(b)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.Header().Set("Cache-Control", "no-store")
	slow := httpx.NewDeadlineWriter(w, httpx.StallTimeout, nil)
	defer slow.Done()
	out := bufio.NewWriterSize(slow, 32<<10)
	var err error
	for _, p := range pieces {
		if err == nil {
			err = p.writeTo(out)
		}
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		h.Log.WarnContext(r.Context(), "send certificates failed", "path", r.URL.Path, "err", errors.Join(err, r.Context().Err()))
		panic(http.ErrAbortHandler)
	}
}

func (p piece) writeTo(out *bufio.Writer) error {
	if p.text != "" {
		_, err := out.WriteString(p.text)
		return err
	}
	enc := base64.NewEncoder(base64.StdEncoding, out)
	_, err := p.file.WriteTo(enc)
	return errors.Join(err, enc.Close())
}
