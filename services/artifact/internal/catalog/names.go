package catalog

import (
	"fmt"
	"path"
	"strings"
	"unicode"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	"github.com/expo-free-agent/freeagent/services/artifact/internal/store"
	"github.com/expo-free-agent/freeagent/shared/archive"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/text"
)

// KindName returns the word for a kind in keys, logs and messages; empty if the kind is not known.
func KindName(k artifactv1.Kind) string {
	switch k {
	case artifactv1.Kind_KIND_SOURCE:
		return "source"
	case artifactv1.Kind_KIND_CERTS:
		return "certs"
	case artifactv1.Kind_KIND_RESULT:
		return "result"
	case artifactv1.Kind_KIND_LOG:
		return "log"
	case artifactv1.Kind_KIND_ARTIFACTS:
		return "artifacts"
	case artifactv1.Kind_KIND_CACHE:
		return "cache"
	}
	return ""
}

// Limits are the largest objects of each kind, in bytes.
type Limits struct{ Source, Certs, Result, Log, Artifacts int64 }

// Of returns the limit of a kind.
func (l Limits) Of(k artifactv1.Kind) int64 {
	switch k {
	case artifactv1.Kind_KIND_SOURCE:
		return l.Source
	case artifactv1.Kind_KIND_CERTS:
		return l.Certs
	case artifactv1.Kind_KIND_LOG:
		return l.Log
	case artifactv1.Kind_KIND_ARTIFACTS:
		return l.Artifacts
	default:
		return l.Result
	}
}

// KindOf returns the kind of a row.
func KindOf(o store.Object) artifactv1.Kind { return artifactv1.Kind(o.Kind) }

// keyPrefix is <project>/<build>/<attempt>/<kind>-<object>. Each attempt to upload appends "-" and an id of its own, so two
// at once never write the same key and the loser's bytes are told from the winner's.
func keyPrefix(o store.Object) string {
	return fmt.Sprintf("%s/%s/%d/%s-%s", segment(o.Project), o.BuildID, o.Attempt, KindName(KindOf(o)), o.ID)
}

// NewKey returns the key of one attempt to upload an object.
func NewKey(o store.Object) string { return o.Prefix + "-" + build.NewID() }

const maxSegment = 64

// segment makes a user's project name safe as a part of a key: never its raw text. Different names may become one, which
// is harmless because the build's id follows.
func segment(project string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, project)
	if s = strings.Trim(s[:min(len(s), maxSegment)], "-"); s == "" {
		return "default"
	}
	return s
}

const maxName = 200

// displayName keeps the last element of a file name, without what could confuse a terminal or a header.
func displayName(name string, k artifactv1.Kind) string {
	name = path.Base(strings.ReplaceAll(strings.ToValidUTF8(name, "_"), `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == '"' {
			return '_'
		}
		return r
	}, name)
	name = text.Cut(name, maxName)
	if name == "" || name == "." || name == ".." || name == "/" {
		return KindName(k)
	}
	return name
}

// ContentType goes by the content's first bytes.
func ContentType(head []byte) string {
	switch archive.Detect(head) {
	case archive.Zip:
		return "application/zip"
	case archive.TarGz:
		return "application/gzip"
	default:
		return "application/octet-stream"
	}
}
