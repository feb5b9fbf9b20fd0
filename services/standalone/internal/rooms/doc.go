// Package rooms has no code, only tests of how the code of every module is divided.
//
// # Limits
//
// No type has more than 30 methods, no package more than 2,500 lines, no file more than 400. Tests
// and generated code do not count. The list exceptions holds what is larger, each with the size
// that it must not exceed and the reason.
//
// # Directions
//
// The table plans says for a module's internal packages which of them each may import, so that
// imports point one way.
package rooms
