// Package bus is the product's side of NATS JetStream: every subject, stream, consumer and bucket
// declared once as data, events with CloudEvents headers and trace context, and a consume loop in
// which a handler's result decides the acknowledgement.
//
// JetStream is transport and timer here. SQL decides who owns a build; losing every stream loses no
// build.
package bus
