// Package deployments holds no code. Its tests load the files of this directory with the libraries
// of their tools (Helm, Compose, BuildKit, nats-server, Kubernetes' own types), and run the real
// services with --check-config in every environment that is described here. So no description can
// differ from what the programs accept.
package deployments
