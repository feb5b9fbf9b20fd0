// Package objectstest holds the suite that every objects.Store passes, and wrappers that make a
// store slow or broken.
//
// The suite needs a real server behind the store and so takes an opener. It runs against the
// embedded endpoint in services/standalone.
package objectstest
