package build

// Signature says how a repacked app is signed.
type Signature string

// The signatures.
const (
	// SignedDebug is the debug key that comes with @expo/repack-app, which everybody has.
	SignedDebug Signature = "debug"
	Unsigned    Signature = "none"
)

// RepackSigning returns how repacked apps of a platform are signed.
func RepackSigning(p Platform) Signature {
	if p == Android {
		return SignedDebug
	}
	return Unsigned
}

// String returns the signature for people.
func (s Signature) String() string {
	switch s {
	case SignedDebug:
		return "signed with a public debug key"
	case Unsigned:
		return "not signed"
	}
	return string(s)
}
