package cluster

import (
	"context"
	"net"
	"sync"
	"time"
)

// Link is a line to somewhere far away that can be cut: what is on it then goes nowhere, as with a line that is dead and not with a
// peer that says goodbye. It is safe for concurrent use.
type Link struct {
	listener net.Listener
	to       string
	cancel   context.CancelFunc
	ctx      context.Context // the life of the link
	wg       sync.WaitGroup

	mu sync.Mutex
	// open is closed while the line is whole.
	open chan struct{}
}

func newLink(address, to string) (*Link, error) {
	l, err := net.Listen("tcp", address) //nolint:noctx // closed by close
	if err != nil {
		return nil, err
	}
	link := &Link{listener: l, to: to, open: make(chan struct{})}
	close(link.open)
	link.ctx, link.cancel = context.WithCancel(context.Background())
	link.wg.Go(link.accept)
	return link, nil
}

// Cut holds all bytes back until Heal.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
		l.open = make(chan struct{})
	default:
	}
}

// Heal lets them through again.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.open:
	default:
		close(l.open)
	}
}

func (l *Link) close() {
	l.cancel()
	_ = l.listener.Close()
	l.wg.Wait()
}

// whole waits until the line is; false after close.
func (l *Link) whole() bool {
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	select {
	case <-open:
		return true
	case <-l.ctx.Done():
		return false
	}
}

func (l *Link) accept() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() { l.join(in) })
	}
}

const dialTimeout = 2 * time.Second

func (l *Link) join(in net.Conn) {
	defer in.Close()
	if !l.whole() {
		return
	}
	out, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(l.ctx, "tcp", l.to)
	if err != nil {
		return
	}
	defer out.Close()
	defer context.AfterFunc(l.ctx, func() { _ = in.Close(); _ = out.Close() })()
	var back sync.WaitGroup
	back.Go(func() { l.carry(in, out) })
	l.carry(out, in)
	back.Wait()
}

// carry moves bytes one way until either side ends, which is then the end of both, once the line is whole.
func (l *Link) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !l.whole() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
