package legacy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// Client imports and exports. It is safe for concurrent use.
type Client struct{ api *api.Client }

// New returns a client that uses the connection and the key of c.
func New(c *api.Client) *Client { return &Client{c} }

// Import sends one batch to POST /import/<kind>. It retries what breaks on the way: a repeat changes nothing.
func (c *Client) Import(ctx context.Context, kind string, in, out any) error {
	return c.api.Call(ctx, http.MethodPost, "/import/"+kind, in, out)
}

// Export reads one page of GET /export/<kind>; after is the Next of the page before, empty for the first.
func (c *Client) Export(ctx context.Context, kind, after string, out any) error {
	return c.api.Call(ctx, http.MethodGet, "/export/"+kind+"?after="+url.QueryEscape(after), nil, out)
}

// ExportFile copies a file of a build to w and returns its size. A part may have been written when it returns an error.
func (c *Client) ExportFile(ctx context.Context, objectID string, w io.Writer) (int64, error) {
	n, err := c.api.Read(ctx, "/export/files/"+url.PathEscape(objectID), w)
	if err != nil {
		return n, fmt.Errorf("read file %s: %w", objectID, err)
	}
	return n, nil
}
