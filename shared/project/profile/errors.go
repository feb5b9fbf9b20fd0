package profile

import "errors"

// ErrProject says that the project cannot be built as it is; the text says what is missing or wrong, for the project's owner.
var ErrProject = errors.New("project")

// ErrUnknown says that no file has the profile that was asked for. It is an ErrProject, too.
var ErrUnknown = errors.New("unknown profile")

// problem is a sentence for people that matches ErrProject.
type problem struct{ text string }

func (p problem) Error() string { return p.text }
func (p problem) Unwrap() error { return ErrProject }

// Problem returns an error with this text that matches ErrProject.
func Problem(text string) error { return problem{text} }

// unknownProfile is a sentence for people that matches ErrUnknown and ErrProject.
type unknownProfile struct{ text string }

func (u unknownProfile) Error() string   { return u.text }
func (u unknownProfile) Unwrap() []error { return []error{ErrProject, ErrUnknown} }
