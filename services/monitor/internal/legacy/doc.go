// Package legacy imports and exports the samples and reports of the legacy controller. Only files named legacy.go use it.
package legacy
