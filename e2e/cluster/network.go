package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// network gives processes their addresses, and may cut them off.
type network interface {
	// address of a process; of the outside for "" and for names that are not known.
	address(name string) string
	// wrap has a program run there.
	wrap(name string, argv []string) []string
	// cut and heal take a process off the network and put it back.
	cut(name string) error
	heal(name string) error
	close() error
}

// loopback is one address for all: nothing can be cut.
type loopback struct{}

var errNoCut = errors.New("without network namespaces (Linux, root) nothing can be cut off")

func (loopback) address(string) string                 { return "127.0.0.1" }
func (loopback) wrap(_ string, argv []string) []string { return argv }
func (loopback) cut(string) error                      { return errNoCut }
func (loopback) heal(string) error                     { return nil }
func (loopback) close() error                          { return nil }

// namespaces gives each process a network of its own, joined by a bridge: to cut one off is to unplug its cable.
type namespaces struct {
	id    string // begins all names; an interface's has at most 15 characters
	net   int    // 10.77.net.0/24
	hosts map[string]int
}

// CanIsolate says whether processes can have networks of their own here.
func CanIsolate() bool {
	_, err := exec.LookPath("ip")
	return os.Geteuid() == 0 && err == nil && ip("netns", "list") == nil
}

// newNamespaces makes a bridge with one host for each name.
func newNamespaces(names []string) (*namespaces, error) {
	n := &namespaces{hosts: map[string]int{}}
	for n.net = 1; n.net < 255; n.net++ { // another cluster may run
		n.id = fmt.Sprintf("fa%d", n.net)
		if ip("link", "add", n.id, "type", "bridge") == nil {
			break
		}
	}
	err := errors.Join(ip("addr", "add", n.address("")+"/24", "dev", n.id), ip("link", "set", n.id, "up"))
	for i, name := range names {
		n.hosts[name] = i + 2
		err = errors.Join(err, n.plug(name))
	}
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *namespaces) plug(name string) error {
	ns, cable := n.space(name), n.cable(name)
	return errors.Join(
		ip("netns", "add", ns),
		ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", ns),
		ip("link", "set", cable, "master", n.id, "up"),
		ip("-n", ns, "addr", "add", n.address(name)+"/24", "dev", "eth0"),
		ip("-n", ns, "link", "set", "eth0", "up"),
		ip("-n", ns, "link", "set", "lo", "up"),
	)
}

func (n *namespaces) space(name string) string { return fmt.Sprintf("%s-%d", n.id, n.hosts[name]) }
func (n *namespaces) cable(name string) string { return fmt.Sprintf("%sv%d", n.id, n.hosts[name]) }

func (n *namespaces) address(name string) string {
	host, ok := n.hosts[name]
	if !ok {
		host = 1 // the bridge: the outside
	}
	return fmt.Sprintf("10.77.%d.%d", n.net, host)
}

func (n *namespaces) wrap(name string, argv []string) []string {
	if _, ok := n.hosts[name]; !ok {
		return argv
	}
	return append([]string{"ip", "netns", "exec", n.space(name)}, argv...)
}

func (n *namespaces) cut(name string) error  { return ip("link", "set", n.cable(name), "down") }
func (n *namespaces) heal(name string) error { return ip("link", "set", n.cable(name), "up") }

// close removes it all; with a namespace goes its cable.
func (n *namespaces) close() error {
	var errs []error
	for name := range n.hosts {
		errs = append(errs, ip("netns", "del", n.space(name)))
	}
	return errors.Join(append(errs, ip("link", "del", n.id))...)
}

const ipTimeout = 10 * time.Second

func ip(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), ipTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// freePorts finds n free ports below those that the kernel gives to clients, so that a process that is away does not lose
// its own.
func freePorts(n int) ([]int, error) {
	var ports []int
	for p := 20000 + os.Getpid()%5000; p < 32000 && len(ports) < n; p++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p)) //nolint:noctx // closed at once
		if err != nil {
			continue
		}
		if err := l.Close(); err == nil {
			ports = append(ports, p)
		}
	}
	if len(ports) < n {
		return nil, errors.New("no free ports between 20000 and 32000")
	}
	return ports, nil
}
