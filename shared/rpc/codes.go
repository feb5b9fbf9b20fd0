package rpc

import "github.com/expo-free-agent/freeagent/shared/build"

// Code is build.Code.
func Code(err error) string { return build.Code(err) }

// FromCode is build.FromCode.
func FromCode(code, text string) error { return build.FromCode(code, text) }
