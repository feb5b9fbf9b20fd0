package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// PartSize is the buffer that one upload holds, in bytes. 8 MiB keeps a
// server's memory near 31 MB at 130 MB/s; S3 allows 10,000 parts, so an object
// may have 80 GB.
const PartSize = 8 << 20

const (
	maxParts            = 10_000
	defaultRegion       = "us-east-1"
	defaultStallTimeout = time.Minute
	defaultTimeout      = 30 * time.Second
	// Five tries with minio-go's backoff take about three seconds: enough for
	// a store's restart of a connection, short enough for a person to wait.
	maxTries = 5
)

// Info describes an object.
type Info struct {
	Key     string
	Size    int64     // bytes of the whole object, also for a ranged Get
	SHA256  string    // lower-case hex; only Put knows it, else empty
	ETag    string    // changes when the object is replaced
	ModTime time.Time // as the store reports it; zero after Put
}

// File is an object opened for random reads. It is safe for concurrent use.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64 // bytes
}

// Store keeps objects by key. Implementations are safe for concurrent use.
type Store interface {
	// EnsureBucket makes the bucket unless it exists.
	EnsureBucket(ctx context.Context) error
	// BucketExists says whether the bucket exists.
	BucketExists(ctx context.Context) (bool, error)
	// Put stores all of r under key and replaces what was there, at once or
	// not at all. size is exact, or -1 when unknown; a source that differs from it
	// fails with ErrSizeMismatch. More than limit bytes fail with ErrTooLarge;
	// limit <= 0 is no limit. After an error nothing of the upload is left; only
	// where the store's last answer was lost is the key itself removed, the
	// previous content included. When ctx ends while r is blocked in Read, Put
	// returns and r may still be inside that one Read.
	Put(ctx context.Context, key string, r io.Reader, size, limit int64) (Info, error)
	// Get reads length bytes from offset; length < 0 reads to the end. ErrNotFound,
	// or ErrRange for an offset past the end. Closing the reader is required
	// and safe at any time; ctx covers the reads too.
	Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Info, error)
	// Open gives random access by ranged reads; ctx covers all of them.
	Open(ctx context.Context, key string) (File, error)
	// Stat describes the object, or ErrNotFound.
	Stat(ctx context.Context, key string) (Info, error)
	// Delete removes the object; one that is not there is no error.
	Delete(ctx context.Context, key string) error
	// BeginPieces starts an upload whose pieces are put one by one, by any
	// process. Nothing is under key before JoinPieces.
	BeginPieces(ctx context.Context, key string) (Pieced, error)
	// PutPiece stores piece number, from 1 on, and gives the name to join it by.
	// Each but the last must have PartSize bytes. Put again, it is replaced.
	// ErrNoUpload when the upload was joined, dropped or aborted.
	PutPiece(ctx context.Context, p Pieced, number int, data []byte) (name string, err error)
	// JoinPieces makes the pieces, size bytes in all, the object. Joined before,
	// it is no error.
	JoinPieces(ctx context.Context, p Pieced, names []string, size int64) error
	// DropPieces removes an upload that is not joined; one that is not there is
	// no error.
	DropPieces(ctx context.Context, p Pieced) error
	// Copy duplicates an object inside the store. ErrNotFound when from is missing.
	Copy(ctx context.Context, from, to string) error
	// AbortStale removes multipart uploads begun more than olderThan ago and
	// returns how many. olderThan must exceed the longest honest upload.
	AbortStale(ctx context.Context, olderThan time.Duration) (int, error)
	// List yields the objects whose key starts with prefix, in key order, and
	// ends after the first error.
	List(ctx context.Context, prefix string) iter.Seq2[Info, error]
}

// Config says where the bucket is. Endpoint, AccessKey, SecretKey and Bucket
// are required.
type Config struct {
	Endpoint  string // host:port, no scheme
	AccessKey string
	SecretKey string // never logged, never in an error
	Bucket    string
	Region    string // "" is us-east-1
	Secure    bool   // TLS

	// Sync makes the object durable after a put or copy, for a store that
	// does not do so itself. nil: the store's answer is enough.
	Sync func(key string) error
	// StallTimeout ends a transfer that moved no byte for so long. 0 is 1 min.
	StallTimeout time.Duration
	// Timeout bounds each small request (stat, delete, list page). 0 is 30 s.
	Timeout time.Duration
	// Transport replaces the HTTP transport, for instance to trust a private
	// CA. nil is a transport of the store's own.
	Transport http.RoundTripper
	// Log tells when the store is away and when it is back. nil: nobody.
	Log *slog.Logger
}

func (c *Config) validate() error {
	var errs []error
	for _, f := range []struct{ name, value string }{
		{"Endpoint", c.Endpoint}, {"AccessKey", c.AccessKey}, {"SecretKey", c.SecretKey}, {"Bucket", c.Bucket},
	} {
		if f.value == "" {
			errs = append(errs, fmt.Errorf("object store: %s is empty", f.name))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) setDefaults() {
	if c.Region == "" {
		c.Region = defaultRegion
	}
	if c.StallTimeout <= 0 {
		c.StallTimeout = defaultStallTimeout
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Transport == nil {
		c.Transport = NewTransport()
	}
}

// NewTransport is what a Config without one gets: net/http's default with more idle connections to the one
// host and no transparent gzip, which would change lengths and ranges.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConns:        64,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}
}

// S3 is the Store on an S3 endpoint.
type S3 struct {
	cfg     Config
	core    *minio.Core
	breaker *breaker
}

var _ Store = (*S3)(nil)

// New checks cfg and returns a store; it sends nothing. Close it when done.
func New(cfg Config) (*S3, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	b := newBreaker(cfg.Transport, cfg.Endpoint, cfg.Log)
	core, err := minio.NewCore(cfg.Endpoint, &minio.Options{
		Creds:        credentials.NewStaticV4(cfg.AccessKey, cfg.SecretKey, ""),
		Secure:       cfg.Secure,
		Region:       cfg.Region,
		Transport:    b,
		BucketLookup: minio.BucketLookupAuto,
		MaxRetries:   maxTries,
	})
	if err != nil {
		return nil, fmt.Errorf("object store at %s: %w", cfg.Endpoint, err)
	}
	return &S3{cfg: cfg, core: core, breaker: b}, nil
}

// Close drops idle connections, so that a server's graceful stop need not wait
// for them. The store must not be used afterwards. It never fails.
func (s *S3) Close() error {
	if t, ok := s.cfg.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// EnsureBucket makes the bucket unless it exists. The error names the
// endpoint, since it is usually the first call and the endpoint wrong.
func (s *S3) EnsureBucket(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	if err := s.ensureBucket(ctx); err != nil {
		return describe(ctx, "object store at "+s.cfg.Endpoint+", bucket", s.cfg.Bucket, err)
	}
	return nil
}

func (s *S3) ensureBucket(ctx context.Context) error {
	exists, err := s.core.BucketExists(ctx, s.cfg.Bucket)
	if err != nil || exists {
		return err
	}
	err = s.core.MakeBucket(ctx, s.cfg.Bucket, minio.MakeBucketOptions{Region: s.cfg.Region})
	switch minio.ToErrorResponse(err).Code {
	case "BucketAlreadyOwnedByYou", "BucketAlreadyExists":
		return nil // another process was faster
	}
	return err
}

// BucketExists implements Store.
func (s *S3) BucketExists(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	exists, err := s.core.BucketExists(ctx, s.cfg.Bucket)
	return exists, describe(ctx, "object store at "+s.cfg.Endpoint+", bucket", s.cfg.Bucket, err)
}

// Stat implements Store.
func (s *S3) Stat(ctx context.Context, key string) (Info, error) {
	if err := s.Away(); err != nil {
		return Info{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	o, err := s.core.StatObject(ctx, s.cfg.Bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return Info{}, describe(ctx, "stat object", key, err)
	}
	return infoOf(o), nil
}

// Delete implements Store.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := s.Away(); err != nil {
		return err
	}
	return s.remove(ctx, key)
}

func (s *S3) remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	err := s.core.RemoveObject(ctx, s.cfg.Bucket, key, minio.RemoveObjectOptions{})
	err = describe(ctx, "delete object", key, err)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

func infoOf(o minio.ObjectInfo) Info {
	return Info{Key: o.Key, Size: o.Size, ETag: o.ETag, ModTime: o.LastModified}
}
