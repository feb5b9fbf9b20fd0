package api

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
)

// ObjectsService moves the bytes of objects.
type ObjectsService struct{ conn *conn }

// Grant allows its holder to transfer one object: the HTTP side of artifact.v1.Grant.
type Grant struct {
	Method string
	// URL is absolute, or a path of the gateway's.
	URL     string
	Headers map[string]string
}

// Download writes a granted object to w, in order, and resumes a broken transfer. It returns ErrCorrupt if the object has not the
// announced size and SHA-256. A size of 0 or an empty sum is unknown and not checked.
func (s *ObjectsService) Download(ctx context.Context, g Grant, w io.Writer, size int64, sha256Hex string) error {
	header := g.Headers
	if header == nil {
		header = map[string]string{} // the server of the bytes must not see the API key
	}
	d := &download{conn: s.conn, w: w, hash: sha256.New(), header: header, size: size}
	return d.run(ctx, g.URL, sha256Hex)
}

// DownloadResult writes a build's result to w from offset on. The bytes before the offset were written earlier, and hashed into seen
// (nil for offset 0). progress is called with the number of bytes received; nil for none. A build without a result is ErrNoResult.
func (s *BuildsService) DownloadResult(ctx context.Context, b Build, w io.Writer, offset int64, seen hash.Hash, progress func(n int)) error {
	if b.Result == nil {
		return fmt.Errorf("build %s: %w", b.ID, ErrNoResult)
	}
	return s.download(ctx, buildPath(b.ID, "/result"), *b.Result, w, offset, seen, progress)
}

// DownloadArtifacts is DownloadResult for the archive of files that the build kept besides. A build that kept none is ErrNoArtifacts.
func (s *BuildsService) DownloadArtifacts(ctx context.Context, b Build, w io.Writer, offset int64, seen hash.Hash, progress func(n int)) error {
	o := b.Artifacts.Object()
	if o == nil {
		return fmt.Errorf("build %s: %w", b.ID, ErrNoArtifacts)
	}
	return s.download(ctx, buildPath(b.ID, "/artifacts"), *o, w, offset, seen, progress)
}

func (s *BuildsService) download(ctx context.Context, url string, o Object, w io.Writer, offset int64, seen hash.Hash, progress func(n int)) error {
	if seen == nil {
		seen = sha256.New()
	}
	d := &download{conn: s.conn, w: w, hash: seen, done: offset, progress: progress, size: o.Size}
	return d.run(ctx, url, o.SHA256)
}
