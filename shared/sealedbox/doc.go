// Package sealedbox seals a message for the holder of one key, so that nothing on the way between two processes can read it: not the bus,
// not a trace of its messages.
//
// It is HPKE in base mode (RFC 9180: X25519, HKDF-SHA256, AES-256-GCM). Everyone can seal, so a sealed message does not say who sent it; that
// is the bus's business. Each message is bound to what it is about and opens only with the same words.
package sealedbox
