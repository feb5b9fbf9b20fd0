package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/api/apitest"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// newClient returns a client of a server from memory. Yours has the address of your gateway and an API key.
func newClient(s *apitest.Server) *api.Client {
	client, err := api.New(api.Config{BaseURL: s.URL, Key: apitest.Key})
	if err != nil {
		panic(err)
	}
	return client
}

// Submit an app and wait until it is built. FollowLog returns when the build has ended, and resumes when the connection breaks.
func Example() {
	farm := apitest.NewServer()
	defer farm.Close()
	client, ctx := newClient(farm), context.Background()

	submitted, err := client.Builds.Submit(ctx, api.Submit{
		Platform: "ios", Project: "shop", Source: strings.NewReader("the app as zip or tar.gz"), SourceName: "shop.zip",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	farm.Finish(submitted.ID, "completed", []byte("the app")) // a worker does this

	b, err := client.Builds.FollowLog(ctx, submitted.ID, func(api.LogLine) error { return nil })
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b.Project, b.Platform, b.Status)
	// Output: shop ios completed
}

// Print a build's log while it runs. An error of the function ends it.
func ExampleBuildsService_FollowLog() {
	farm := apitest.NewServer()
	defer farm.Close()
	client := newClient(farm)
	farm.Add(api.Build{ID: "b1", Status: "completed"}, nil, "installing", "exporting")

	b, err := client.Builds.FollowLog(context.Background(), "b1", func(l api.LogLine) error {
		fmt.Printf("[%s] %s\n", l.Stage, l.Text)
		return nil
	})
	fmt.Println(b.Status, err)
	// Output:
	// [install] installing
	// [install] exporting
	// completed <nil>
}

// Download a result into a file that has the first bytes already, as after an interrupted program. Connections that break are resumed
// without you.
func ExampleBuildsService_DownloadResult() {
	farm := apitest.NewServer()
	defer farm.Close()
	client, ctx := newClient(farm), context.Background()
	result := bytes.Repeat([]byte("app"), 1000)
	farm.Add(api.Build{ID: "b1", Status: "completed"}, result)
	name := filepath.Join(os.TempDir(), "freeagent-example-"+build.NewID())
	if err := os.WriteFile(name, result[:1200], 0o600); err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(name)

	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	seen := sha256.New()
	offset, err := io.Copy(seen, f) // hash what is there: the whole file is verified
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := client.Builds.Get(ctx, "b1")
	if err == nil {
		err = client.Builds.DownloadResult(ctx, b, f, offset, seen, nil)
	}
	fmt.Println(farm.Requests()[1], err)
	// Output: GET /api/v2/builds/b1/result bytes=1200- <nil>
}

// List failed builds page by page, newest first.
func ExampleBuildsService_List() {
	farm := apitest.NewServer()
	defer farm.Close()
	client := newClient(farm)
	for i := range 5 {
		farm.Add(api.Build{ID: fmt.Sprintf("b%d", i), Status: []string{"failed", "completed"}[i%2]}, nil)
	}

	for page := (api.ListOptions{Limit: 2, Status: []string{"failed"}}); ; {
		list, err := client.Builds.List(context.Background(), page)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, b := range list.Builds {
			fmt.Println(b.ID, b.Status)
		}
		if list.Next == "" {
			return
		}
		page.Before = list.Next
	}
	// Output:
	// b4 failed
	// b2 failed
	// b0 failed
}

// A refusal matches the sentinel of its code. As an *Error it has code, status and more.
func ExampleError() {
	farm := apitest.NewServer()
	defer farm.Close()
	client := newClient(farm)

	_, err := client.Builds.Get(context.Background(), "unknown")
	if errors.Is(err, build.ErrNotFound) {
		fmt.Println("no such build")
	}
	var refusal *api.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Status, refusal.Code, refusal.Detail)
	}
	// Output:
	// no such build
	// 404 build_not_found Build not found
}
