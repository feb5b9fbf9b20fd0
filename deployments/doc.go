// Package deployments holds no code. Its tests take what is shipped in this directory through the libraries that the tools for
// it are made of (Helm, Compose, BuildKit, nats-server, Kubernetes' own types), and run the real services with --check-config in
// every environment that is described here, so that no description can drift from what the programs take.
package deployments
