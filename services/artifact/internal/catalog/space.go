package catalog

import (
	"errors"
	"fmt"
	"sync"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
)

// Space refuses uploads that the store's disk cannot hold, before they fill it. Bytes that uploads under way have announced and not
// sent yet count as used, so that two uploads do not get the same bytes.
type Space struct {
	free    func() (uint64, error) // nil: unknown
	reserve int64

	mu      sync.Mutex
	claimed int64
}

// Claim is the space reserved for one upload.
type Claim struct {
	space *Space
	left  int64
}

// Claim reserves n bytes, or returns build.ErrNoSpace. With n = 0 it only checks that the disk is not full.
func (s *Space) Claim(n int64) (*Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(n); err != nil {
		return nil, err
	}
	s.claimed += n
	return &Claim{space: s, left: n}, nil
}

// check needs mu.
func (s *Space) check(n int64) error {
	if s.free == nil {
		return nil
	}
	free, err := s.free()
	if errors.Is(err, build.ErrNoSpace) {
		return httpx.Refuse(build.ErrNoSpace, "%s", err)
	}
	if err != nil {
		return fmt.Errorf("ask for free space: %w", err)
	}
	usable := int64(min(free, 1<<62)) - s.claimed // bounded by min
	if usable-s.reserve >= n && usable > s.reserve {
		return nil
	}
	return httpx.Refuse(build.ErrNoSpace,
		"the server has %s free, of which %s stay in reserve, and the upload needs %s; free space on the server's disk or send less",
		megabytes(usable), megabytes(s.reserve), megabytes(n))
}

// Arrived reports that n bytes are on the disk now. What exceeds the claim is checked anew.
func (c *Claim) Arrived(n int64) error {
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	used := min(n, c.left)
	c.left -= used
	c.space.claimed -= used
	if n > used {
		return c.space.check(n - used)
	}
	return nil
}

// Release returns what did not arrive. An upload that was cut may still have a read under way; its bytes are
// not counted.
func (c *Claim) Release() {
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	c.space.claimed -= c.left
	c.left = 0
}

func megabytes(n int64) string {
	const mega = 1 << 20
	if n > 0 && n < mega {
		return "less than 1 MB"
	}
	return fmt.Sprintf("%d MB", max(n, 0)/mega)
}
