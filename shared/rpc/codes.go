package rpc

import (
	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/outage"
)

// Code is build.Code, "no_space" for a database whose disk is full, and "unavailable" for what is away.
func Code(err error) string {
	if outage.IsDiskFull(err) {
		return build.Code(build.ErrNoSpace)
	}
	code := build.Code(err)
	if code == build.CodeInternal && outage.IsUnavailable(err) {
		return build.Code(build.ErrUnavailable)
	}
	return code
}

// FromCode is build.FromCode.
func FromCode(code, text string) error { return build.FromCode(code, text) }
