package shadow

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/shared/text"
)

// Difference is one place where the answers are not alike.
type Difference struct {
	// Where in the answer: status, type, body, or a path in the JSON.
	Where   string `json:"where"`
	Primary string `json:"primary"`
	Shadow  string `json:"shadow"`
}

// loose says that a route's figures are each server's own: only their shape is compared.
func loose(route string) bool {
	return slices.Contains([]string{"GET /api/stats", "GET /public/stats", "GET /health", "GET /api/health", "GET /api/workers/:id/stats"}, route)
}

// differences compares two answers to the same request.
func (b *book) differences(route string, primary, shadow answer) []Difference {
	if primary.status != shadow.status {
		return []Difference{{"status", fmt.Sprint(primary.status), fmt.Sprint(shadow.status)}}
	}
	if primary.contentType != shadow.contentType {
		return []Difference{{"type", primary.contentType, shadow.contentType}}
	}
	if primary.json == nil || shadow.json == nil {
		if strings.HasSuffix(route, "/certs-secure") || primary.sum == shadow.sum {
			return nil
		}
		return []Difference{{"body", describe(primary), describe(shadow)}}
	}
	var p, s any
	if json.Unmarshal(primary.json, &p) != nil || json.Unmarshal(shadow.json, &s) != nil {
		return []Difference{{"body", "invalid JSON from one server", ""}}
	}
	c := comparison{book: b, shape: loose(route)}
	c.compare("", p, s)
	return c.found
}

func describe(a answer) string {
	return fmt.Sprintf("%d bytes, SHA-256 %.12s", a.size, a.sum)
}

// maxDifferences bounds what is told of one answer.
const maxDifferences = 10

type comparison struct {
	book  *book
	shape bool
	found []Difference
}

func (c *comparison) tell(where, p, s string) {
	if len(c.found) < maxDifferences {
		c.found = append(c.found, Difference{where, cut(p), cut(s)})
	}
}

// longest bounds how much of a value is shown, in bytes.
const longest = 120

func cut(s string) string { return text.Shorten(s, longest) }

func (c *comparison) compare(where string, p, s any) {
	switch pv := p.(type) {
	case map[string]any:
		if sv, ok := s.(map[string]any); ok {
			c.objects(where, pv, sv)
			return
		}
	case []any:
		if sv, ok := s.([]any); ok {
			c.arrays(where, pv, sv)
			return
		}
	case string:
		if sv, ok := s.(string); ok {
			c.texts(where, pv, sv)
			return
		}
	case float64:
		if sv, ok := s.(float64); ok {
			if pv != sv && !c.shape && !(isTime(pv) && isTime(sv)) {
				c.tell(where, fmt.Sprint(pv), fmt.Sprint(sv))
			}
			return
		}
	default:
		if reflect.DeepEqual(p, s) || c.shape && reflect.TypeOf(p) == reflect.TypeOf(s) {
			return
		}
	}
	c.tell(where, shown(p), shown(s))
}

func (c *comparison) objects(where string, p, s map[string]any) {
	keys := make([]string, 0, len(p)+len(s))
	for k := range p {
		keys = append(keys, k)
	}
	for k := range s {
		if _, ok := p[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		pv, inP := p[k]
		sv, inS := s[k]
		at := where + "." + k
		switch {
		case !inP:
			c.tell(at, "(absent)", shown(sv))
		case !inS:
			c.tell(at, shown(pv), "(absent)")
		case secret(k): // each server's own
		default:
			c.compare(at, pv, sv)
		}
	}
}

func secret(key string) bool {
	return key == "access_token" || key == "keychainPassword" || key == "uptime" || key == "path"
}

// arrays compares what both can have: builds and workers that only one of them knows are left out.
func (c *comparison) arrays(where string, p, s []any) {
	p = slices.DeleteFunc(slices.Clone(p), func(v any) bool { id := idOf(v); _, ok := c.book.shadowOf(id); return id != "" && !ok })
	s = slices.DeleteFunc(slices.Clone(s), func(v any) bool { id := idOf(v); _, ok := c.book.primaryOf(id); return id != "" && !ok })
	if len(p) != len(s) {
		c.tell(where, fmt.Sprintf("%d entries", len(p)), fmt.Sprintf("%d entries", len(s)))
		return
	}
	for i := range p {
		c.compare(fmt.Sprintf("%s[%d]", where, i), p[i], s[i])
	}
}

func idOf(v any) string {
	object, _ := v.(map[string]any)
	id, _ := object["id"].(string)
	return id
}

var isoTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`)

func (c *comparison) texts(where, p, s string) {
	switch {
	case p == s, c.shape, isoTime.MatchString(p) && isoTime.MatchString(s), c.book.translate(p) == s:
	default:
		c.tell(where, p, s)
	}
}

// isTime says that a number is a moment of our days, in milliseconds.
func isTime(v float64) bool { return v > 1.4e12 && v < 4e12 }

func shown(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(data)
}
