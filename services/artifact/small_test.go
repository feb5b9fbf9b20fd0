package artifact_test

import (
	"bytes"
	"sync"
	"testing"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

func (f *farm) storeWhole(req *artifactv1.StoreRequest) (*artifactv1.StoreResponse, error) {
	var resp artifactv1.StoreResponse
	return &resp, f.call("store", req, &resp)
}

// TestStoreWhole: an object that comes with the request is like any other.
func TestStoreWhole(t *testing.T) {
	t.Parallel()
	f := setup(t)
	data := zipOf(t, "app.json", []byte("{}"))
	req := &artifactv1.StoreRequest{ObjectId: "o1", BuildId: "b1", Kind: source, Project: "shop", Name: "../app.zip", Data: data}
	first, err := f.storeWhole(req)
	if err != nil {
		t.Fatal(err)
	}
	o := first.GetObject()
	if o.GetSha256() != sum(data) || o.GetSize() != int64(len(data)) || o.GetContentType() != "application/zip" {
		t.Errorf("stored = %v", o)
	}
	again, err := f.storeWhole(req)
	if err != nil || again.GetObject().GetSha256() != o.GetSha256() || f.rows() != 1 {
		t.Errorf("the same again = %v, %v, %d rows; want the first answer and one row", again, err, f.rows())
	}
	other := &artifactv1.StoreRequest{ObjectId: "o1", BuildId: "b1", Kind: source, Data: zipOf(t, "b", nil)}
	if _, err := f.storeWhole(other); err == nil {
		t.Error("other bytes under the same id are taken")
	}
	f.keep("o1")
	if a := f.get(f.grantDownload("o1"), "Range", "bytes=1-3"); a.status != 206 || !bytes.Equal(a.body, data[1:4]) {
		t.Errorf("GET of a part = %d, %d bytes", a.status, len(a.body))
	}
	if a := f.get(f.grantDownload("o1")); a.status != 200 || !bytes.Equal(a.body, data) || a.header.Get("Etag") != `"`+sum(data)+`"` {
		t.Errorf("GET = %d, %d bytes, %v", a.status, len(a.body), a.header)
	}
	var copied artifactv1.AdoptResponse
	if err := f.call("adopt", &artifactv1.AdoptRequest{FromBuildId: "b1", ToBuildId: "b2"}, &copied); err != nil {
		t.Fatal(err)
	}
	if err := f.call("discard", &artifactv1.DiscardRequest{ObjectIds: []string{"o1"}}, &artifactv1.DiscardResponse{}); err != nil {
		t.Fatal(err)
	}
	if a := f.get(f.grantDownload(copied.GetSource().GetObjectId())); !bytes.Equal(a.body, data) {
		t.Errorf("GET of the copy = %d, %d bytes", a.status, len(a.body))
	}
	f.expire() // nobody kept the copy
	f.nothingLeft()
}

// TestStoreWholeRefuses what an upload would be refused for, and stores nothing of it.
func TestStoreWholeRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t)
	zip := zipOf(t, "a", nil)
	for name, c := range map[string]struct {
		req  *artifactv1.StoreRequest
		want error
	}{
		"no id":        {&artifactv1.StoreRequest{BuildId: "b1", Kind: source, Data: zip}, build.ErrInvalid},
		"no build":     {&artifactv1.StoreRequest{ObjectId: "o", Kind: source, Data: zip}, build.ErrInvalid},
		"no kind":      {&artifactv1.StoreRequest{ObjectId: "o", BuildId: "b1", Data: zip}, build.ErrInvalid},
		"certs":        {&artifactv1.StoreRequest{ObjectId: "o", BuildId: "b1", Kind: certs, Data: zip}, build.ErrInvalid},
		"an attempt":   {&artifactv1.StoreRequest{ObjectId: "o", BuildId: "b1", Kind: source, Attempt: 1, Data: zip}, build.ErrInvalid},
		"too large":    {&artifactv1.StoreRequest{ObjectId: "o", BuildId: "b1", Kind: result, Data: noise(api.SmallObject + 1)}, build.ErrInvalid},
		"empty":        {&artifactv1.StoreRequest{ObjectId: "o", BuildId: "b1", Kind: source}, build.ErrBadArchive},
		"no archive":   {&artifactv1.StoreRequest{ObjectId: "o", BuildId: "b1", Kind: source, Data: noise(100)}, build.ErrBadArchive},
		"evil archive": {&artifactv1.StoreRequest{ObjectId: "o", BuildId: "b1", Kind: source, Data: zipOf(t, "../../evil", nil)}, build.ErrBadArchive},
	} {
		_, err := f.storeWhole(c.req)
		if err == nil {
			t.Errorf("%s is stored", name)
			continue
		}
		wantIs(t, err, c.want)
	}
	f.nothingLeft()
}

// TestRepeatsOfAStoreAtOnce: one row, and every asker gets it.
func TestRepeatsOfAStoreAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	req := &artifactv1.StoreRequest{ObjectId: "o1", BuildId: "b1", Kind: result, Attempt: 1, Data: noise(api.SmallObject)}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if resp, err := f.storeWhole(req); err != nil || resp.GetObject().GetSha256() != sum(req.GetData()) {
				t.Errorf("store = %v, %v", resp, err)
			}
		})
	}
	all.Wait()
	if f.rows() != 1 || f.small() != 1 {
		t.Errorf("%d rows, %d in the table, want one", f.rows(), f.small())
	}
}
