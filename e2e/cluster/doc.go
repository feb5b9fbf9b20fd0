// Package cluster runs a whole distributed installation as plain processes of one machine: three
// nats-server nodes, PostgreSQL, an S3 server, replicas of each service behind a balancer, and
// workers with the fake executor. It is how the installation is tried, and broken, where there is
// no container engine.
//
// On Linux as root each process may have a network of its own, so that it can be cut off from all
// others.
package cluster
