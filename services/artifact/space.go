package artifact

import (
	"errors"
	"fmt"
	"sync"

	"github.com/expo-free-agent/freeagent/shared/build"
)

// space refuses uploads that the store's disk cannot hold, before they fill it. What uploads under way have announced and
// not sent yet counts as taken, so that two uploads cannot be promised the same bytes.
type space struct {
	free    func() (uint64, error) // nil: unknown
	reserve int64

	mu       sync.Mutex
	promised int64
}

// claim is one upload's share.
type claim struct {
	space *space
	left  int64
}

// claim promises n bytes, or build.ErrNoSpace; n = 0 asks only whether the disk is full.
func (s *space) claim(n int64) (*claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(n); err != nil {
		return nil, err
	}
	s.promised += n
	return &claim{space: s, left: n}, nil
}

// check is called with mu held.
func (s *space) check(n int64) error {
	if s.free == nil {
		return nil
	}
	free, err := s.free()
	if errors.Is(err, build.ErrNoSpace) {
		return refuse(build.ErrNoSpace, "%s", err)
	}
	if err != nil {
		return fmt.Errorf("ask for free space: %w", err)
	}
	usable := int64(min(free, 1<<62)) - s.promised // bounded by min
	if usable-s.reserve >= n && usable > s.reserve {
		return nil
	}
	return refuse(build.ErrNoSpace,
		"the server has %s free, of which %s stay in reserve, and the upload needs %s; free space on the server's disk or send less",
		megabytes(usable), megabytes(s.reserve), megabytes(n))
}

// arrived says that n bytes are on the disk now; what comes beyond the claim is checked anew.
func (c *claim) arrived(n int64) error {
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	used := min(n, c.left)
	c.left -= used
	c.space.promised -= used
	if n > used {
		return c.space.check(n - used)
	}
	return nil
}

// release gives back what did not arrive. An upload that was cut may still have a read under way, whose bytes then count
// for nothing.
func (c *claim) release() {
	c.space.mu.Lock()
	defer c.space.mu.Unlock()
	c.space.promised -= c.left
	c.left = 0
}

func megabytes(n int64) string {
	const mega = 1 << 20
	if n > 0 && n < mega {
		return "less than 1 MB"
	}
	return fmt.Sprintf("%d MB", max(n, 0)/mega)
}
