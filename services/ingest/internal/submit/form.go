package submit

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"

	artifactv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/artifact/v1"
	eventsv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/events/v1"
	"github.com/expo-free-agent/freeagent/services/ingest/internal/httpapi"
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/httpx"
	"github.com/expo-free-agent/freeagent/shared/text"
)

const (
	// maxField bounds a text field, in bytes.
	maxField = 64 << 10
	// MaxParts bounds the parts of a form.
	MaxParts = 100
)

// textFields returns the known fields. Others are ignored.
func textFields(d httpapi.Dialect) []string {
	if d == httpapi.V1 {
		return []string{"platform"}
	}
	return []string{"platform", "project", "profile", "pool", "priority", "upload", "repository", "commit", "branch", "supersede",
		"app_path", "modified", "username", "build_number", "requires", "prefers", "reuse_key", "reuse_native_key", "reuse_simulator",
		"repack_from"}
}

// form reads a submit. Its parts may come in any order; files are forwarded as they arrive.
type form struct {
	v *Service
	// store stores the source.
	store  func(*multipart.Part) (*eventsv1.ObjectRef, error)
	r      *http.Request
	body   *httpapi.Body
	parts  *multipart.Reader
	fields []string
	into   *submission
}

func (v *Service) openForm(r *http.Request, b *httpapi.Body, d httpapi.Dialect, into *submission) (*form, error) {
	r.Body = b
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, httpx.Refuse(build.ErrInvalid, httpapi.MsgMultipart)
	}
	f := &form{v: v, r: r, body: b, parts: parts, fields: textFields(d), into: into}
	f.store = f.storeSource
	return f, nil
}

// read reads the whole form.
func (f *form) read() error {
	for range MaxParts {
		part, err := f.parts.NextPart()
		if errors.Is(err, io.EOF) {
			if err := f.body.Drain(); err != nil {
				return httpapi.BodyError(err)
			}
			return f.into.complete()
		}
		if err != nil {
			return httpapi.BodyError(err)
		}
		if err := f.readPart(part); err != nil {
			return err
		}
	}
	return httpx.Refuse(build.ErrInvalid, "The form has more than %d parts", MaxParts)
}

func (f *form) readPart(part *multipart.Part) (err error) {
	isFile, s := part.FileName() != "", f.into
	switch name := part.FormName(); {
	case name == "source" && isFile && s.source == nil:
		s.source, err = f.store(part)
	case name == "certs" && isFile && s.signing.certs == nil:
		err = s.signing.readCerts(f.r.Context(), part)
	case name == "profile" && isFile && s.signing.profile == nil:
		err = s.signing.readProfile(f.r.Context(), part)
	case !isFile && slices.Contains(f.fields, name):
		s.fields[name], err = ReadField(part, name)
	default:
		if _, err = io.Copy(io.Discard, part); err != nil {
			err = httpapi.BodyError(err)
		}
	}
	return err
}

// ReadField reads a field that identifies something. It refuses text that is not UTF-8 or has
// several lines.
func ReadField(part *multipart.Part, name string) (string, error) {
	value, err := readAll(part, name)
	if err != nil {
		return "", err
	}
	if err := text.Check(value); err != nil {
		return "", httpx.Refuse(build.ErrInvalid, "Field %s %v. Send it as UTF-8, in one line", name, err)
	}
	return value, nil
}

// ReadText reads a field for people and truncates it to maxField.
func ReadText(part *multipart.Part) (string, error) {
	value, err := readUpTo(part, maxField+1)
	if err == nil {
		_, err = io.Copy(io.Discard, part)
	}
	if err != nil {
		return "", httpapi.BodyError(err)
	}
	return text.Shorten(value, maxField), nil
}

// readAll reads a field and refuses one that is longer than maxField.
func readAll(part *multipart.Part, name string) (string, error) {
	value, err := readUpTo(part, maxField+1)
	if err != nil {
		return "", httpapi.BodyError(err)
	}
	if len(value) > maxField {
		return "", httpx.Refuse(build.ErrInvalid, "Field %s is longer than %d bytes", name, maxField)
	}
	return value, nil
}

// readUpTo reads at most n bytes.
func readUpTo(r io.Reader, n int64) (string, error) {
	value, err := io.ReadAll(io.LimitReader(r, n))
	return string(value), err
}

// storeSource streams the source to the artifact service as it arrives.
func (f *form) storeSource(part *multipart.Part) (*eventsv1.ObjectRef, error) {
	file := httpapi.TrackErrors(part)
	ref, err := f.v.Objects.Upload(f.r.Context(), f.into.AddObject, &artifactv1.UploadRequest{
		BuildId: f.into.BuildID, Kind: artifactv1.Kind_KIND_SOURCE, Project: f.into.fields["project"], Name: text.Clean(part.FileName()),
	}, file)
	if err == nil {
		return ref, nil
	}
	if broken := file.Broken(); broken != nil { // the client's error, whatever the artifact service made of it
		return nil, httpapi.BodyError(broken)
	}
	if errors.Is(err, build.ErrTooLarge) {
		return nil, &httpx.Refusal{Kind: build.ErrTooLarge, Sentence: httpapi.MsgSourceLarge, Detail: err.Error()}
	}
	return nil, err
}

// complete checks the fields when all have arrived.
func (s *submission) complete() error {
	switch uploaded := s.fields["upload"] != ""; {
	case s.source == nil && !uploaded:
		return httpx.Refuse(build.ErrInvalid, httpapi.MsgSource)
	case s.source != nil && uploaded:
		return httpx.Refuse(build.ErrInvalid, "The form has a source and names an upload; send one of them")
	}
	if _, err := build.ParsePlatform(s.fields["platform"]); err != nil {
		return httpx.Refuse(build.ErrInvalid, httpapi.MsgPlatform)
	}
	origin := build.Origin{Repository: s.fields["repository"], Commit: s.fields["commit"], Branch: s.fields["branch"]}
	settings := build.Settings{AppPath: s.fields["app_path"], Username: s.fields["username"], BuildNumber: s.fields["build_number"], RepackFrom: s.fields["repack_from"]}
	settings.Requires = build.Requirements(s.fields["requires"])
	if _, err := build.ParseRequirements(s.fields["prefers"]); err != nil {
		return fmt.Errorf("prefers: %w", err)
	}
	if err := errors.Join(origin.Check(), settings.Check()); err != nil {
		return err
	}
	if p := s.fields["priority"]; p != "" {
		n, err := strconv.ParseInt(p, 10, 32)
		if err != nil {
			return httpx.Refuse(build.ErrInvalid, "Priority %.20q is not a whole number", p)
		}
		s.priority = int32(n)
	}
	return errors.Join(s.flag("supersede", &s.supersede), s.flag("modified", &s.modified), s.flag("reuse_simulator", &s.simulator))
}

// flag reads a field that is true or false.
func (s *submission) flag(name string, into *bool) error {
	switch v := s.fields[name]; v {
	case "", "false":
	case "true":
		*into = true
	default:
		return httpx.Refuse(build.ErrInvalid, "%s must be true or false (got %.20q)", name, v)
	}
	return nil
}
