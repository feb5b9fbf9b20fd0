package signing

import "errors"

// The texts of errors that wrap these are fit for the submitter.
var (
	// ErrFormat means that the upload is neither a zip nor a PKCS#12 file.
	ErrFormat = errors.New("the certs are neither a zip nor a PKCS#12 (.p12) file")
	// ErrDamaged means that the upload is cut off or broken.
	ErrDamaged = errors.New("the certs are damaged or incomplete")
	// ErrUnsafe means that an entry of the zip could do harm; the text names it.
	ErrUnsafe = errors.New("the certs hold an unsafe entry")
	// ErrTooLarge means that the upload, or what it unpacks to, exceeds a limit.
	ErrTooLarge = errors.New("the certs are too large")
	// ErrNoIdentity means that the zip is sound but has no *.p12.
	ErrNoIdentity = errors.New("the certs hold no .p12 file")
)
