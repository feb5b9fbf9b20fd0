package logbook

import (
	"container/list"
	"context"
	"sync"

	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/shared/logarchive"
)

// shelfSize is how many archives are held open: an index each, of some kilobytes for most.
const shelfSize = 64

// shelf holds archives open, so that the next page of a log costs no look at its index. An object never changes.
type shelf struct {
	source func(o *eventsv1.ObjectRef) logarchive.Source

	mu     sync.Mutex
	byID   map[string]*list.Element
	recent list.List // of *volume, the last used first
}

type volume struct {
	id     string
	reader *logarchive.Reader
}

func newShelf(source func(o *eventsv1.ObjectRef) logarchive.Source) *shelf {
	return &shelf{source: source, byID: map[string]*list.Element{}}
}

func (s *shelf) open(ctx context.Context, o *eventsv1.ObjectRef) (*logarchive.Reader, error) {
	if r := s.take(o.GetObjectId()); r != nil {
		return r, nil
	}
	r, err := logarchive.Open(ctx, s.source(o))
	if err != nil {
		return nil, err
	}
	s.put(&volume{o.GetObjectId(), r})
	return r, nil
}

func (s *shelf) take(id string) *logarchive.Reader {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byID[id]
	if e == nil {
		return nil
	}
	s.recent.MoveToFront(e)
	return e.Value.(*volume).reader //nolint:forcetypeassert // it holds nothing else
}

func (s *shelf) put(v *volume) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[v.id] != nil {
		return
	}
	s.byID[v.id] = s.recent.PushFront(v)
	for s.recent.Len() > shelfSize {
		last := s.recent.Back()
		s.recent.Remove(last)
		delete(s.byID, last.Value.(*volume).id) //nolint:forcetypeassert // as above
	}
}
