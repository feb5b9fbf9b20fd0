package standalone

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/shared/secrets"
)

// NewSecrets returns the command `freeagent secrets`.
func NewSecrets(out io.Writer) *cobra.Command {
	var o secrets.Options
	cmd := &cobra.Command{
		Use:   "secrets DIR",
		Short: "Make the keys and passwords of a distributed installation",
		Long: `Makes the keys and passwords of a distributed installation, each in a file of its own in DIR, which only you may enter.
What is there is kept: run it again after an upgrade, or to change the addresses. The file names are those that
docker-compose.yml and the Helm chart expect:

  kubectl create secret generic freeagent-secrets --from-file=DIR

Back the directory up: without master-key, stored signing certificates are lost. One process that runs the whole farm
(freeagent up) makes its own.`,
		Example: `  freeagent secrets deployments/compose/secrets --containers
  freeagent secrets /etc/freeagent/secrets --bus-node bus-1.example.com:6222 --bus-node bus-2.example.com:6222 \
    --bus-node bus-3.example.com:6222 --database 'postgres://freeagent@db.example.com/freeagent?sslmode=verify-full'`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			o.Dir = args[0]
			written, err := secrets.Make(o)
			if err != nil {
				return err
			}
			if len(written) == 0 {
				fmt.Fprintf(out, "All secrets are in %s already.\n", o.Dir)
				return nil
			}
			fmt.Fprintf(out, "Written to %s: %s\n", o.Dir, strings.Join(written, ", "))
			return nil
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.Routes, "bus-node", []string{"nats-1:6222", "nats-2:6222", "nats-3:6222"},
		"host:port at which a node of the bus is reached by the others; once for each node")
	f.StringVar(&o.Database, "database", "postgres://freeagent@postgres:5432/freeagent?sslmode=disable", "URL of PostgreSQL without its password")
	f.BoolVar(&o.Containers, "containers", false, "let containers read files that are mounted one by one, whatever user they run as")
	return cmd
}
