package httpx

import "fmt"

// Refusal is an error whose sentence is for the client. Its kind decides the status and the code.
type Refusal struct {
	Kind     error
	Sentence string
	// Detail is added for clients that do not compare whole sentences.
	Detail string
	// Cause is logged and not shown; nil: none.
	Cause error
}

// Error implements error.
func (r *Refusal) Error() string { return r.Sentence }

// Unwrap returns the kind and the cause.
func (r *Refusal) Unwrap() []error {
	if r.Cause == nil {
		return []error{r.Kind}
	}
	return []error{r.Kind, r.Cause}
}

// Refuse returns a refusal with a formatted sentence.
func Refuse(kind error, format string, args ...any) error {
	return &Refusal{Kind: kind, Sentence: fmt.Sprintf(format, args...)}
}

// Because is Refuse with a cause.
func Because(kind, cause error, format string, args ...any) error {
	return &Refusal{Kind: kind, Cause: cause, Sentence: fmt.Sprintf(format, args...)}
}
