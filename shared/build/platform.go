package build

import (
	"fmt"
	"slices"
)

// Platform is what an app is built for.
type Platform string

// The platforms.
const (
	IOS     Platform = "ios"
	Android Platform = "android"
)

// Platforms lists every platform.
func Platforms() []Platform { return []Platform{IOS, Android} }

// ParsePlatform accepts exactly "ios" and "android"; anything else is ErrInvalid.
func ParsePlatform(s string) (Platform, error) {
	if p := Platform(s); slices.Contains(Platforms(), p) {
		return p, nil
	}
	return "", fmt.Errorf("%w: platform %q is neither ios nor android", ErrInvalid, s)
}

// DefaultPool is where builds and workers belong that name no pool.
const DefaultPool = "default"
